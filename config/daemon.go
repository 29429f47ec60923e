package config

import (
	"os"
	"time"

	"github.com/gafferpm/gaffer"
)

// Daemon is what the files of a daemon say.
type Daemon struct {
	Settings Settings
	Webhooks []Webhook // in the order of definition
	Forwards []Forward // in the order of definition
	Plugins  []Plugin  // in the order of definition
	// Desired are the templates of each file that was named, its Source being the
	// file's absolute path. Those of included files are the including one's.
	Desired []gaffer.Desired
	Read    []string // every file that was read, included ones and env files too
}

// Settings are those of the daemon itself: the table [daemon]. LoadDaemon has put
// in the defaults, and made paths absolute.
type Settings struct {
	// Node names the daemon in its events. Default: the host's name.
	Node string `toml:"node"`
	// LogLevel is the least that is logged: debug, info, warn or error. Default: info.
	LogLevel LogLevel `toml:"log_level"`
	// LogFormat is text or json. Default: text.
	LogFormat LogFormat `toml:"log_format"`
	// PIDFile is where the daemon writes its pid. Default: nowhere.
	PIDFile string `toml:"pid_file"`
	// Host is what the services are children of: HostHolder, a process of its own
	// that outlives the manager, or HostDirect, the manager. Default: holder, where the
	// system can (Linux).
	Host Host `toml:"host"`
	// Socket is the unix socket of the API. Default: "", which stands for
	// SocketName in the runtime directory.
	Socket string `toml:"socket"`
	// SocketMode is the mode of the socket. Default: 0600.
	SocketMode Mode `toml:"socket_mode"`
	// SocketUsers and SocketGroups are those who may use the socket beside root and
	// the daemon's own user, by name or number, and as what.
	SocketUsers  map[string]Role `toml:"socket_users"`
	SocketGroups map[string]Role `toml:"socket_groups"`
	// DrainTimeout is how long requests and posts in flight may take when the
	// daemon ends. Default: 10s.
	DrainTimeout gaffer.Duration `toml:"drain_timeout"`
	// JournalSize is how much of the disk the event journal may take. Default: 64MiB.
	JournalSize gaffer.Size `toml:"journal_size"`
	// Listen are the TCP addresses of the API. Default: none.
	Listen []Listen `toml:"listen"`
}

// SocketName is the name of the API's socket in the runtime directory.
const SocketName = "gaffer.sock"

// The defaults of [daemon].
const (
	DefaultSocketMode   Mode        = 0o600
	DefaultDrainTimeout             = 10 * time.Second
	DefaultJournalSize  gaffer.Size = 64 << 20
)

// Listen is a TCP address of the API: a table [[daemon.listen]].
type Listen struct {
	// Address is HOST:PORT. Without a host it is 127.0.0.1. Required.
	Address string `toml:"address"`
	// TLSCert and TLSKey are files in PEM. Default: no TLS.
	TLSCert string `toml:"tls_cert"`
	TLSKey  string `toml:"tls_key"`
	// ClientCA is a file of certificates in PEM: clients must show one that is
	// signed by one of them. Default: none is asked for.
	ClientCA string `toml:"client_ca"`
	// Users are those who need no key beside their certificate: its common name, and
	// as what they may come. It goes with ClientCA. Default: all need a key.
	Users map[string]Role `toml:"users"`
	// Insecure serves without a key. Default: false.
	Insecure bool `toml:"insecure"`
	// Hosts are the names that a request's Host may have, beside the address itself
	// and localhost. Default: none.
	Hosts []string `toml:"hosts"`
	// Origins are the web pages that may ask, such as "https://ops.example.com".
	// Default: none.
	Origins []string `toml:"origins"`
}

// Webhook is where events are posted to: a table [webhook.NAME].
type Webhook struct {
	Name string `toml:"-"`
	// URL is http or https. Required.
	URL string `toml:"url"`
	// Target is whose events are posted. Default: all.
	Target gaffer.Target `toml:"target"`
	// Kinds are which are. Default: all.
	Kinds []gaffer.Kind `toml:"kinds"`
	// Secret signs what is posted. LoadDaemon reads it from SecretFile where that is
	// set, without blanks around. Default: no signature.
	Secret     Secret `toml:"secret"`
	SecretFile string `toml:"secret_file"`
	// Timeout is how long one post may take. Default: 10s.
	Timeout gaffer.Duration `toml:"timeout"`
	// MaxAttempts and MaxAge are how often and for how long an event is tried.
	// Defaults: 100, 24h.
	MaxAttempts int             `toml:"max_attempts"`
	MaxAge      gaffer.Duration `toml:"max_age"`
	// Headers are added to each post.
	Headers map[string]Secret `toml:"headers"`
	// CAFile is a file of certificates in PEM that are trusted instead of the
	// system's. LoadDaemon reads it into CA.
	CAFile string `toml:"ca_file"`
	CA     []byte `toml:"-"`
}

// The defaults of [webhook.NAME].
const (
	DefaultWebhookTimeout     = 10 * time.Second
	DefaultWebhookMaxAttempts = 100
	DefaultWebhookMaxAge      = 24 * time.Hour
)

// Forward is where lines that processes write are sent to: a table [forward.NAME].
type Forward struct {
	Name string `toml:"-"`
	// Type is syslog, journald, loki or otlp. Required.
	Type string `toml:"type"`
	// URL is where. Required but for journald; see package forward.
	URL string `toml:"url"`
	// Target is whose lines are sent. Default: all.
	Target gaffer.Target `toml:"target"`
	// Streams are which, by label. Default: all.
	Streams []string `toml:"streams"`
	// Labels go with each line. Default: none.
	Labels map[string]string `toml:"labels"`
	// Headers are added to each request of loki and otlp.
	Headers map[string]Secret `toml:"headers"`
	// Facility is that of syslog and journald. Default: daemon.
	Facility string `toml:"facility"`
	// Timeout is how long one connection, write or request may take. Default: 10s.
	Timeout gaffer.Duration `toml:"timeout"`
	// CAFile is a file of certificates in PEM that are trusted instead of the
	// system's. LoadDaemon reads it into CA.
	CAFile string `toml:"ca_file"`
	CA     []byte `toml:"-"`
}

// Plugin is a static directory that is served below /plugins/NAME/: a table
// [plugin.NAME].
type Plugin struct {
	Name string `toml:"-"`
	// Dir is the directory. Required.
	Dir string `toml:"dir"`
}

// LoadDaemon reads the files of a daemon: gaffer.toml, or a Procfile. No path at
// all is fine: everything then has its default.
//
// Where only templates are wrong, the Daemon comes with the error: it has the
// settings, and no Desired.
func LoadDaemon(paths []string, o Options) (*Daemon, error) {
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	return loadDaemon(paths, o)
}
