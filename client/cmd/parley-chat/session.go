package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"parley.chat/client"
)

// renewTimeout is the time limit for renewing the token. A renewal is not canceled when the program
// ends, because its response contains the only valid refresh token.
const renewTimeout = 10 * time.Second

// kept is a TokenSource for a session stored in a file. Any number of programs may share the file.
//
// A refresh token can be used only once, and the server ends a session whose refresh token is used
// twice. So a program renews the token only while it holds a lock on a file next to the session
// file, and only if no other program has already renewed it.
type kept struct {
	server, file string
	warn         io.Writer

	mu   sync.Mutex // held during a renewal
	held record
	lost bool // whether the file now belongs to another login; it is then no longer read or written
}

// record is the content of the session file. Login identifies the login that the tokens belong to.
// A later login may belong to another user.
type record struct {
	Login string `json:"login"`
	client.Credentials
}

// sessionFile returns the path of the file that holds a user's session on a server.
func sessionFile(server, name string) (string, error) {
	dir, err := sessionDir(server)
	return filepath.Join(dir, url.QueryEscape(strings.ToLower(name))+".json"), err
}

func sessionDir(server string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the configuration folder (or use -session): %w", err)
	}
	at := server
	if u, err := url.Parse(server); err == nil {
		at = u.Host + u.Path
	}
	return filepath.Join(dir, "parley", url.QueryEscape(strings.TrimSuffix(at, "/"))), nil
}

// find returns the path of the file that holds the session to resume. If the flags do not select a
// file, there must be exactly one session file.
func (l login) find() (string, error) {
	if l.file != "" {
		return l.file, nil
	}
	if l.kept != "" {
		return sessionFile(l.server, l.kept)
	}
	dir, err := sessionDir(l.server)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("list stored sessions: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
		return "", errNoSession
	case 1:
		return filepath.Join(dir, names[0]+".json"), nil
	}
	return "", fmt.Errorf("there are stored sessions of %s: select one with -kept", strings.Join(names, ", "))
}

var errNoSession = errors.New("log in with -as NAME, or sign up with -as NAME -signup EMAIL")

// before returns the credentials stored by an earlier login with the same name, if any.
func (l login) before() client.Credentials {
	k := &kept{file: l.file}
	if k.file == "" {
		var err error
		if k.file, err = sessionFile(l.server, l.name); err != nil {
			return client.Credentials{}
		}
	}
	var last record
	if k.read(&last) != nil {
		return client.Credentials{}
	}
	return last.Credentials
}

// keep stores a new session in the file.
func keep(ctx context.Context, server, file string, session *client.Session, warn io.Writer) *kept {
	k := &kept{server: server, file: file, warn: warn, held: record{Login: rand.Text(), Credentials: session.Credentials()}}
	defer k.lock(ctx)()
	k.write()
	return k
}

// resume resumes the session in a file.
func resume(server, file string, warn io.Writer) (*kept, error) {
	k := &kept{server: server, file: file, warn: warn}
	err := k.read(&k.held)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Token implements client.TokenSource.
func (k *kept) Token(ctx context.Context, rejected string) (client.Token, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t, ok := k.good(rejected); ok {
		return t, nil
	}
	defer k.lock(ctx)()
	if err := ctx.Err(); err != nil {
		return client.Token{}, err
	}
	k.reload()
	if t, ok := k.good(rejected); ok {
		return t, nil
	}
	session, err := client.Resume(k.server, k.held.Credentials)
	if err != nil {
		return client.Token{}, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
	defer cancel()
	t, err := session.Token(ctx, rejected)
	if err != nil {
		return client.Token{}, err
	}
	k.held.Credentials = session.Credentials()
	k.write()
	return t, nil
}

// good returns the current token, unless the token has expired or was rejected. Callers of good and
// of the methods below must hold k.mu.
func (k *kept) good(rejected string) (client.Token, bool) {
	t := client.Token{Access: k.held.Access, Expires: k.held.Expires}
	return t, t.Access != "" && t.Access != rejected && time.Now().Before(t.Expires)
}

// reload reads the tokens from the file, since another program may have renewed them. The file lock
// must be held.
func (k *kept) reload() {
	var now record
	if k.lost || k.read(&now) != nil { // if the file is missing, the tokens in memory are the newest
		return
	}
	if now.Login != k.held.Login {
		k.lost = true
		fmt.Fprintln(k.warn, "parley-chat: the session is no longer stored: the file now belongs to another login:", k.file)
		return
	}
	k.held = now
}

func (k *kept) read(into *record) error {
	b, err := os.ReadFile(k.file)
	if err != nil {
		return fmt.Errorf("read the session: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read the session %s: %w", k.file, err)
	}
	return nil
}

// write writes the tokens to a file that only the user can read. It replaces the file atomically.
// The file lock must be held.
func (k *kept) write() {
	if k.lost {
		return
	}
	b, err := json.Marshal(k.held)
	if err == nil {
		err = os.WriteFile(k.file+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(k.file+".new", k.file)
	}
	if err != nil {
		fmt.Fprintln(k.warn, "parley-chat: the session is not stored:", err)
	}
}

// lock prevents other programs from renewing the token until the returned function is called. If
// the file cannot be locked, no other program can share the session either, so lock only prints a
// warning.
func (k *kept) lock(ctx context.Context) (unlock func()) {
	err := os.MkdirAll(filepath.Dir(k.file), 0o700)
	if err == nil {
		unlock, err = lockFile(ctx, k.file+".lock")
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(k.warn, "parley-chat: the session cannot be shared:", err)
	}
	if unlock == nil {
		return func() {}
	}
	return unlock
}

// lockPollInterval is the interval between attempts to acquire a lock that another program holds.
const lockPollInterval = 20 * time.Millisecond

// lockFile waits until it has locked the file or ctx is done.
func lockFile(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		locked, err := tryLock(f)
		if locked {
			// The lock is released when the file is closed or the program ends.
			return func() { _ = f.Close() }, nil
		}
		if err == nil {
			select {
			case <-time.After(lockPollInterval):
				continue
			case <-ctx.Done():
			}
		}
		return nil, fmt.Errorf("lock %s: %w", file, cmp.Or(errors.Join(err, f.Close()), context.Cause(ctx)))
	}
}
