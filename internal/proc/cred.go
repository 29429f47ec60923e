package proc

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// User is what the system's user database says of somebody.
type User struct {
	Name  string
	Home  string
	Shell string
}

// LookupCred finds whom to run as. uid and gid are names or numbers, and at
// least one is not "". uid alone implies the user's primary group; gid alone
// keeps the caller's user. A user that the database does not know is allowed as a
// number together with a gid; then User is nil.
//
// Only root can become somebody else: other callers are refused here, unless they
// ask for what they are.
func LookupCred(uid, gid string) (*Cred, *User, error) {
	cred := &Cred{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	account, err := lookupAccount(uid, cred)
	if err != nil {
		return nil, nil, err
	}
	if gid != "" {
		if cred.GID, err = lookupGroup(gid); err != nil {
			return nil, nil, err
		}
	} else if account == nil && uid != "" {
		return nil, nil, fmt.Errorf("user %s: unknown, so a group is needed: %w", uid, syscall.EINVAL)
	}
	if err := cred.allowed(uid, gid); err != nil {
		return nil, nil, err
	}
	if cred.Groups, err = cred.lookupGroups(account); err != nil {
		return nil, nil, err
	}
	if account == nil {
		return cred, nil, nil
	}
	return cred, &User{Name: account.Username, Home: account.HomeDir, Shell: lookupShell(account.Username)}, nil
}

// lookupAccount sets cred's user, and its group to that user's. The account is
// nil when uid is a number that nobody has, or "".
func lookupAccount(uid string, cred *Cred) (*user.User, error) {
	if uid == "" {
		return nil, nil
	}
	account, err := user.Lookup(uid)
	if err != nil {
		n, ok := parseID(uid)
		if !ok {
			return nil, fmt.Errorf("user %s: not found: %w", uid, syscall.ENOENT)
		}
		if account, err = user.LookupId(uid); err != nil {
			cred.UID = n
			return nil, nil
		}
	}
	id, ok := parseID(account.Uid)
	group, ok2 := parseID(account.Gid)
	if !ok || !ok2 {
		return nil, fmt.Errorf("user %s: bad entry in the user database: %w", uid, syscall.EINVAL)
	}
	if self := os.Geteuid(); self == 0 || int(id) != self {
		cred.GID = group
	}
	cred.UID = id
	return account, nil
}

func lookupGroup(gid string) (uint32, error) {
	group, err := user.LookupGroup(gid)
	if err == nil {
		gid = group.Gid
	}
	n, ok := parseID(gid)
	if !ok {
		return 0, fmt.Errorf("group %s: not found: %w", gid, syscall.ENOENT)
	}
	return n, nil
}

// parseID reads a user's or group's number. The highest means "none" to the kernel.
func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && uint32(n) != ^uint32(0)
}

// allowed refuses what the caller has no right to.
func (c *Cred) allowed(uid, gid string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if int(c.UID) != os.Geteuid() {
		return fmt.Errorf("user %s: only root can start processes as another user: %w", uid, syscall.EPERM)
	}
	if int(c.GID) != os.Getegid() {
		return fmt.Errorf("group %s: only root can start processes as another group: %w", gid, syscall.EPERM)
	}
	return nil
}

// lookupGroups returns the supplementary groups: those of the account, with the
// wanted primary group among them; of a user without account the primary group
// alone; and the caller's own for the caller.
func (c *Cred) lookupGroups(account *user.User) ([]uint32, error) {
	groups := []uint32{c.GID}
	if int(c.UID) == os.Geteuid() && (account == nil || os.Geteuid() != 0) {
		own, err := os.Getgroups()
		if err != nil {
			return nil, fmt.Errorf("groups: %w", err)
		}
		for _, g := range own {
			groups = append(groups, uint32(g))
		}
	} else if account != nil {
		ids, err := account.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("user %s: groups: %w", account.Username, err)
		}
		for _, id := range ids {
			if g, ok := parseID(id); ok {
				groups = append(groups, g)
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), nil
}

// defaultShell is what a user has of whom nothing is known.
const defaultShell = "/bin/sh"

func lookupShell(name string) string {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return defaultShell
	}
	defer f.Close()
	return shellOf(f, name)
}

// shellOf finds a user's shell in a file of the form of /etc/passwd.
func shellOf(passwd io.Reader, name string) string {
	lines := bufio.NewScanner(passwd)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 7 && fields[0] == name && fields[6] != "" {
			return fields[6]
		}
	}
	return defaultShell
}
