package localserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that a server runs as. credential is nil if the server runs as this process's
// user.
type account struct {
	uid, gid   int
	name       string
	credential *syscall.Credential
}

// self returns the account of this process.
func self() account {
	return account{uid: os.Geteuid(), gid: os.Getegid(), name: "uid " + strconv.Itoa(os.Geteuid())}
}

// as returns the account with the given user id and group id.
func as(uid, gid int, name string) account {
	if uid == os.Geteuid() {
		return self()
	}
	return account{uid: uid, gid: gid, name: name, credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// lookup returns the account of the first named user that exists and is not root.
func lookup(names ...string) (account, error) {
	var errs []error
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil && uid != 0 {
			return as(uid, gid, name), nil
		}
	}
	return account{}, fmt.Errorf("PostgreSQL refuses to run as root, and there is no user to run it as: %w", errors.Join(errs...))
}

// canReach reports whether the account can traverse all existing parent folders of path.
func (a account) canReach(path string) bool {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err == nil && !a.may(info, 1) {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// may reports whether a file's permissions grant the account the requested access: 4 to read, 2 to
// write, 1 to traverse.
func (a account) may(info fs.FileInfo, want fs.FileMode) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || a.uid == 0 {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case int(stat.Uid) == a.uid:
		mode >>= 6
	case int(stat.Gid) == a.gid:
		mode >>= 3
	}
	return mode&want == want
}

// own creates dir if it does not exist. A new dir is accessible only to the account.
func (a account) own(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		return err
	}
	if a.credential != nil {
		return os.Chown(dir, a.uid, a.gid)
	}
	return nil
}

// owns reports whether the account owns the folder dir and no other user can enter it.
func (a account) owns(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == a.uid
}

// maxSocketPath is the longest path that fits into sun_path on every system (104 bytes on macOS,
// including the final NUL).
const maxSocketPath = 103

// socketDir returns a folder for a socket called name. Other users cannot enter the folder. If the
// path is short enough, it returns dir itself. Otherwise it returns a folder under the temporary
// directory. That folder is always the same for a given dir.
func (a account) socketDir(dir, name string) (string, error) {
	if len(filepath.Join(dir, name)) <= maxSocketPath && a.owns(dir) {
		return dir, nil
	}
	tmp := os.TempDir()
	short := filepath.Join(tmp, fmt.Sprintf("parley-%d-%s", a.uid, shortHash(dir)))
	if len(filepath.Join(short, name)) > maxSocketPath || !a.canReach(short) {
		short = filepath.Join("/tmp", filepath.Base(short))
	}
	if err := a.own(short); err != nil {
		return "", fmt.Errorf("create a folder for the socket: %w", err)
	}
	if !a.owns(short) {
		return "", fmt.Errorf("%s belongs to another user or is accessible to others: remove it, or set TMPDIR to another folder", short)
	}
	return short, nil
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:6])
}
