package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gafferpm/gaffer/client"
	"github.com/gafferpm/gaffer/config"
)

// addHostFlags adds the flags that say which daemon is meant, to all commands.
func addHostFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String("host", "", "`address` of the daemon: unix:///path or http(s)://host:port (default GAFFER_HOST, else the socket in the runtime directory)")
	flags.String("key-file", "", "`file` with the API key (default GAFFER_KEY_FILE; GAFFER_KEY may have the key itself)")
	flags.String("ca-file", "", "`file` with the certificates that an https daemon's is checked with (default the system's)")
	flags.String("cert-file", "", "`file` with the client certificate to show to an https daemon")
	flags.String("cert-key-file", "", "`file` with the private key of that certificate")
	flags.String("state-dir", "", "`directory` of the daemon's state (default GAFFER_STATE_DIR, else see `gaffer version -v`)")
	flags.String("runtime-dir", "", "`directory` of the daemon's socket (default GAFFER_RUNTIME_DIR, else see `gaffer version -v`)")
	for _, name := range []string{"key-file", "ca-file", "cert-file", "cert-key-file"} {
		_ = root.MarkPersistentFlagFilename(name)
	}
	for _, name := range []string{"state-dir", "runtime-dir"} {
		_ = root.MarkPersistentFlagDirname(name)
	}
}

// flagText is the value of a text flag, "" where there is no such flag.
func flagText(cmd *cobra.Command, name string) string {
	if f := cmd.Flag(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// stateDir is where the daemon keeps its state.
func stateDir(cmd *cobra.Command) string {
	if dir := flagText(cmd, "state-dir"); dir != "" {
		return dir
	}
	return config.StateDir(os.Getenv, os.Getuid())
}

// runtimeDir is where the daemon has its socket.
func runtimeDir(cmd *cobra.Command) string {
	dir, _ := runtimeDirInstead(cmd)
	return dir
}

// runtimeDirInstead is runtimeDir, and in place of which other one it is.
func runtimeDirInstead(cmd *cobra.Command) (dir, insteadOf string) {
	if dir := flagText(cmd, "runtime-dir"); dir != "" {
		return dir, ""
	}
	return config.UsableRuntimeDir(os.Getenv, os.Getuid())
}

// socketName is that of the daemon's own socket, in the runtime directory.
const socketName = "gaffer.sock"

// hostOf is the address of the daemon that is meant.
func hostOf(cmd *cobra.Command) string {
	if host := flagText(cmd, "host"); host != "" {
		return host
	}
	// A directory that is named on the command line is meant more than a variable.
	if host := os.Getenv("GAFFER_HOST"); host != "" && flagText(cmd, "runtime-dir") == "" {
		return host
	}
	dir := runtimeDir(cmd)
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return "unix://" + filepath.Join(dir, socketName)
}

// connect makes a client of the daemon that is meant. Whether it answers is seen
// when it is asked something.
func connect(cmd *cobra.Command) (*client.Client, error) {
	// Nothing is started that the main thread would have to be kept for, and
	// goroutines that are bound to a thread are dear to wake.
	runtime.UnlockOSThread()
	host := hostOf(cmd)
	key, err := keyOf(cmd)
	if err != nil {
		return nil, err
	}
	opts := client.Options{Key: key}
	if strings.HasPrefix(host, "https:") {
		if opts.TLS, err = tlsOf(cmd); err != nil {
			return nil, err
		}
	}
	c, err := client.New(host, opts)
	if err != nil {
		return nil, &usageError{err}
	}
	if key != "" && readable(host) {
		fmt.Fprintf(os.Stderr, "gaffer: warning: %s is not encrypted: whoever is on the way can read the key\n", host)
	}
	return c, nil
}

// readable tells whether what is sent to a host can be read by others on the way.
func readable(host string) bool {
	u, err := url.Parse(host)
	if err != nil || u.Scheme != "http" {
		return false
	}
	name := u.Hostname()
	return name != "localhost" && name != "::1" && !strings.HasPrefix(name, "127.")
}

// keyOf is the API key to show, "" for none. A command line never has it, because
// everybody can read command lines.
func keyOf(cmd *cobra.Command) (string, error) {
	path := flagText(cmd, "key-file")
	if path == "" {
		if key := os.Getenv("GAFFER_KEY"); key != "" {
			return strings.TrimSpace(key), nil
		}
		path = os.Getenv("GAFFER_KEY_FILE")
	}
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	key := strings.TrimSpace(string(text))
	if key == "" || strings.ContainsAny(key, " \t\r\n") {
		return "", fmt.Errorf("%s: want one line with an API key", path)
	}
	return key, nil
}

func tlsOf(cmd *cobra.Command) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := flagText(cmd, "ca-file"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s: no certificate in it", path)
		}
	}
	cert, key := flagText(cmd, "cert-file"), flagText(cmd, "cert-key-file")
	if cert == "" && key == "" {
		return conf, nil
	}
	if cert == "" || key == "" {
		return nil, usagef("want --cert-file and --cert-key-file, or neither")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cert, err)
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf, nil
}

// hint adds to an error what can be done about it.
func hint(cmd *cobra.Command, err error) string {
	var stranger x509.UnknownAuthorityError
	switch {
	case errors.As(err, &stranger):
		return "; --ca-file names a file with the certificate that its own is checked with"
	case errors.Is(err, client.ErrUnauthorized):
		return "; `gaffer keys add` on the daemon's machine makes a key, --key-file says where it is"
	case errors.Is(err, client.ErrNoDaemon) && !strings.HasPrefix(hostOf(cmd), "unix:"):
		return "; is `gaffer daemon` running there, with an endpoint for it?"
	}
	return ""
}
