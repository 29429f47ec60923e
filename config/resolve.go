package config

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
)

// resolve reads the files that the settings name: secrets and certificates. It
// looks whether the directories of plugins are there.
func (p *parts) resolve(t *trust) Faults {
	d := &decoder{}
	for i := range p.settings.Listen {
		p.readTLS(d, t, p.daemon.fields["listen"].items[i], &p.settings.Listen[i])
	}
	p.good = p.good && len(d.faults) == 0
	for i := range p.webhooks {
		p.readWebhook(d, t, p.webhooks[i].n, &p.webhooks[i].value)
	}
	for i := range p.forwards {
		if f := &p.forwards[i].value; f.CAFile != "" {
			f.CA = p.readCA(d, t, p.forwards[i].n, "ca_file", f.CAFile)
		}
	}
	for _, plugin := range p.plugins {
		if err := t.directory(plugin.value.Dir); err != nil {
			d.fault(place(plugin.n, "dir"), "dir: %v", err)
		}
	}
	return d.faults
}

// file reads one of the files that a setting names.
func (p *parts) file(d *decoder, t *trust, n *node, field, path string) ([]byte, bool) {
	data, err := t.read(path)
	if err != nil {
		d.fault(place(n, field), "%s: %v", field, err)
		return nil, false
	}
	if !slices.Contains(p.files, path) {
		p.files = append(p.files, path)
	}
	return data, true
}

func (p *parts) readTLS(d *decoder, t *trust, n *node, l *Listen) {
	if l.TLSCert == "" || l.TLSKey == "" {
		return
	}
	cert, certOK := p.file(d, t, n, "tls_cert", l.TLSCert)
	key, keyOK := p.file(d, t, n, "tls_key", l.TLSKey)
	if certOK && keyOK {
		if _, err := tls.X509KeyPair(cert, key); err != nil {
			d.fault(place(n, "tls_cert"), "tls_cert: %s", strings.TrimPrefix(err.Error(), "tls: "))
		}
	}
	if l.ClientCA != "" {
		p.readCA(d, t, n, "client_ca", l.ClientCA)
	}
}

// readCA reads a file of certificates.
func (p *parts) readCA(d *decoder, t *trust, n *node, field, path string) []byte {
	data, ok := p.file(d, t, n, field, path)
	if ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
		d.fault(place(n, field), "%s: %s has no certificate in PEM", field, path)
	}
	return data
}

func (p *parts) readWebhook(d *decoder, t *trust, n *node, h *Webhook) {
	if h.SecretFile != "" {
		data, ok := p.file(d, t, n, "secret_file", h.SecretFile)
		h.Secret = Secret(strings.TrimSpace(string(data)))
		if ok && h.Secret == "" {
			d.fault(place(n, "secret_file"), "secret_file: %s is empty", h.SecretFile)
		}
	}
	if h.CAFile != "" {
		h.CA = p.readCA(d, t, n, "ca_file", h.CAFile)
	}
}
