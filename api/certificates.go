package api

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/gafferpm/gaffer"
)

// certificates are an endpoint's, as they are in the files. They are read again
// when a file has changed, which is looked for at a handshake, once a second at
// most.
type certificates struct {
	files  TLS
	logger *slog.Logger

	mu      sync.Mutex // guards the rest
	looked  time.Time
	stamps  [3]stamp
	current *tls.Config
}

// stamp tells a changed file from one that is as it was.
type stamp struct {
	size  int64
	mtime time.Time
	inode uint64
}

func loadCertificates(files TLS, logger *slog.Logger) (*certificates, error) {
	c := &certificates{files: files, logger: logger, looked: time.Now()}
	c.stamps = c.look()
	config, err := c.read()
	if err != nil {
		return nil, err
	}
	c.current = config
	return c, nil
}

// config is for a server, and follows the files.
func (c *certificates) config() *tls.Config {
	base := c.now().Clone()
	base.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.now(), nil }
	return base
}

// now is the configuration for a handshake.
func (c *certificates) now() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) < time.Second {
		return c.current
	}
	c.looked = time.Now()
	stamps := c.look()
	if stamps == c.stamps {
		return c.current
	}
	config, err := c.read()
	if err != nil {
		// Files that are being written are looked at again at a later handshake.
		c.logger.Warn("certificates: the old ones stay in use", "error", err)
		return c.current
	}
	c.stamps, c.current = stamps, config
	c.logger.Info("certificates: read again", "file", c.files.Cert)
	return c.current
}

func (c *certificates) look() (stamps [3]stamp) {
	for i, file := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(file); err == nil {
			stamps[i] = stamp{info.Size(), info.ModTime(), inodeOf(info)}
		}
	}
	return stamps
}

func (c *certificates) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", c.files.Cert, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if c.files.ClientCA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("certificates of clients: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates of clients: %s: no certificate in it: %w", c.files.ClientCA, gaffer.ErrInvalid)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	return config, nil
}
