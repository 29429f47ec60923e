package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// unitName is that of the daemon's unit.
const unitName = "gaffer.service"

// enableFlags are the flags of gaffer enable and disable.
type enableFlags struct {
	user    bool
	system  bool
	dryRun  bool
	now     bool
	strict  bool
	configs []string
}

func newEnable() *cobra.Command {
	var f enableFlags
	cmd := &cobra.Command{
		Use:   "enable [flags]",
		Short: "Have systemd start the daemon at boot",
		Long: `Write a unit for the daemon and enable it: for the system when run as root, else,
or with --user, for this user's own systemd. With --now it is started, too. The unit
can be written again at any time; changes of your own belong into a drop-in
(systemctl edit gaffer).

For a user's daemon to run without a login, ` + "`loginctl enable-linger`" + ` is needed.`,
		Example: `  gaffer enable --dry-run
  gaffer enable --now --config /etc/gaffer/gaffer.toml
  gaffer enable --user`,
		Args: atMost(0),
		RunE: f.enable,
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the unit and do nothing")
	cmd.Flags().BoolVar(&f.now, "now", false, "start it, too")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "with rules that most services can live with, but not all: no sudo, /usr and /etc read-only, …")
	cmd.Flags().StringArrayVarP(&f.configs, "config", "f", nil, "`file` that the daemon is to be started with; can be repeated (default its usual one)")
	_ = cmd.MarkFlagFilename("config")
	return cmd
}

func newDisable() *cobra.Command {
	var f enableFlags
	cmd := &cobra.Command{
		Use:   "disable [flags]",
		Short: "Have systemd start the daemon no more",
		Example: `  gaffer disable
  gaffer disable --user`,
		Long: `Disable the daemon's unit and remove it. A daemon that runs goes on, unless --now is
given.`,
		Args: atMost(0),
		RunE: f.disable,
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.now, "now", false, "stop it, too")
	return cmd
}

func (f *enableFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.user, "user", false, "in this user's systemd (default unless run as root)")
	cmd.Flags().BoolVar(&f.system, "system", false, "in the system's (default when run as root)")
}

// settle decides whose systemd it is.
func (f *enableFlags) settle() error {
	if f.user && f.system {
		return usagef("--user and --system exclude each other")
	}
	f.user = f.user || !f.system && os.Geteuid() != 0
	return nil
}

// directory is where units are that an administrator, or a user, has written.
func (f *enableFlags) directory() (string, error) {
	if !f.user {
		return "/etc/systemd/system", nil
	}
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "systemd", "user"), err
}

func (f *enableFlags) enable(cmd *cobra.Command, _ []string) error {
	if err := f.settle(); err != nil {
		return err
	}
	text, err := f.unit(cmd)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if f.dryRun {
		fmt.Fprint(out, text)
		return nil
	}
	dir, err := f.directory()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, unitName)
	if err := replaceFile(path, text); err != nil {
		return err
	}
	fmt.Fprintln(out, "wrote", path)
	args := []string{"enable"}
	if f.now {
		args = append(args, "--now")
	}
	return errors.Join(f.systemctl("daemon-reload"), f.systemctl(append(args, unitName)...))
}

func (f *enableFlags) disable(cmd *cobra.Command, _ []string) error {
	if err := f.settle(); err != nil {
		return err
	}
	dir, err := f.directory()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, unitName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: there is no such unit", path)
	}
	args := []string{"disable"}
	if f.now {
		args = append(args, "--now")
	}
	err = f.systemctl(append(args, unitName)...)
	if err := os.Remove(path); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "removed", path)
	return errors.Join(err, f.systemctl("daemon-reload"))
}

// systemctl tells systemd, where it runs: else it reads the unit when it starts.
func (f *enableFlags) systemctl(args ...string) error {
	if f.user {
		args = append([]string{"--user"}, args...)
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		note("systemd does not run here; to be done where it does: systemctl %s", strings.Join(args, " "))
		return nil
	}
	command := exec.Command("systemctl", args...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("systemctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// replaceFile writes a file whole, or not at all.
func replaceFile(path, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".gaffer-*")
	if err != nil {
		return err
	}
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// unit is the daemon's unit. What it says, and leaves out, is explained in
// docs/daemon.md.
func (f *enableFlags) unit(cmd *cobra.Command) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := []string{program, "daemon"}
	for _, path := range f.configs {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		command = append(command, "--config", abs)
	}
	for _, name := range []string{"state-dir", "runtime-dir"} {
		dir := flagText(cmd, name)
		if dir == "" {
			continue
		}
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		command = append(command, "--"+name, abs)
	}
	wantedBy, more := "multi-user.target", ""
	switch {
	case f.user:
		wantedBy = "default.target"
	case flagText(cmd, "state-dir") == "" && flagText(cmd, "runtime-dir") == "":
		more = systemDirectories
	}
	if f.strict {
		more += strictRules
	}
	return fmt.Sprintf(unitText, systemdWords(command), more, wantedBy), nil
}

// systemDirectories has systemd make the system daemon's directories.
const systemDirectories = `
StateDirectory=gaffer
StateDirectoryMode=0700
RuntimeDirectory=gaffer
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=restart
`

// strictRules hold for all services, too: most can live with them, not all.
const strictRules = `
NoNewPrivileges=yes
ProtectSystem=full
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectHostname=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
`

const unitText = `[Unit]
Description=gaffer, which keeps services running
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
FileDescriptorStoreMax=4096
ExecStart=%s
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1
WatchdogSec=30

# Services are gaffer's to stop: it knows their order, signals and times. If it is
# killed they go on, until the next one takes over.
KillMode=process
TimeoutStartSec=5min
TimeoutStopSec=5min
Delegate=yes

# A service that the kernel kills for want of memory is gaffer's to start again.
OOMPolicy=continue
LimitNOFILE=1024:524288
TasksMax=infinity
UMask=0022
%s
[Install]
WantedBy=%s
`
