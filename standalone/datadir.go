package standalone

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"parley.chat/internal/platform/config"
)

// maxLog is the maximum size of a private server's log, in bytes. A larger log is renamed when the
// server starts.
const maxLog = 8 << 20

// dataDir is the data folder of an instance. A lock prevents a second instance from using it.
type dataDir struct {
	path string
	lock *os.File // the lock is released when the file is closed or the process ends
	logs []*os.File
}

// openDataDir creates the data folder if it does not exist, and locks it.
func openDataDir(path string) (_ *dataDir, err error) {
	defer func() {
		if err != nil {
			err = &config.Error{Name: "DATA_DIR", Err: err}
		}
	}()
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("create the folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "standalone.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: the data belongs to another user; run as that user, or set DATA_DIR to another folder", err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the folder: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		owner, _ := os.ReadFile(lock.Name()) // optional in the message
		_ = lock.Close()
		return nil, fmt.Errorf("%s is in use by another standalone%s; stop it, or use another folder and port for this one, for example DATA_DIR=./.data2 ADDR=:8090",
			path, describeOwner(string(owner)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the folder: %w", err), lock.Close())
	}
	return &dataDir{path: path, lock: lock}, nil
}

// writeOwner writes the process id and the URL to the lock file. A second instance shows them in
// its error message.
func (d *dataDir) writeOwner(url string) {
	_ = d.lock.Truncate(0) // an error only affects that message
	_, _ = d.lock.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), url), 0)
}

func describeOwner(signature string) string {
	pid, url, ok := strings.Cut(strings.TrimSpace(signature), " ")
	if !ok {
		return ""
	}
	return " (process " + pid + ", " + url + ")"
}

// serverLog opens a private server's log for appending.
func (d *dataDir) serverLog(name string) (*os.File, error) {
	path := filepath.Join(d.path, name)
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".old"); err != nil {
			return nil, fmt.Errorf("rename %s: %w", name, err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of a server: %w", err)
	}
	d.logs = append(d.logs, f)
	return f, nil
}

func (d *dataDir) close() {
	for _, f := range d.logs {
		_ = f.Close() // ignore the error: the server that wrote the log has exited
	}
	_ = d.lock.Close()
}
