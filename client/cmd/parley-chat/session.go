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

// renewWithin bounds a renewal, which is not given up when the program is to end: the answer that nobody
// waits for has the one good token.
const renewWithin = 10 * time.Second

// kept is a session in a file that any number of programs share; it is their source of tokens.
//
// A refresh token is good once, and the server ends the session of who shows one twice. So a token is
// renewed under a lock beside the file, and only when no other program has renewed it meanwhile.
type kept struct {
	server, file string
	warn         io.Writer

	mu   sync.Mutex // held while renewing
	held record
	lost bool // the file is of another login by now: it is neither read nor written any more
}

// record is the file. Login tells the tokens of one login from those of the next, maybe another user's.
type record struct {
	Login string `json:"login"`
	client.Credentials
}

// sessionFile returns where a user's session at a server is kept.
func sessionFile(server, name string) (string, error) {
	dir, err := sessionDir(server)
	return filepath.Join(dir, url.QueryEscape(strings.ToLower(name))+".json"), err
}

func sessionDir(server string) (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the session (say it with -session): %w", err)
	}
	at := server
	if u, err := url.Parse(server); err == nil {
		at = u.Host + u.Path
	}
	return filepath.Join(dir, "parley", url.QueryEscape(strings.TrimSuffix(at, "/"))), nil
}

// find returns the file of the session to go on with: the one that the flags say, or the only one.
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
		return "", fmt.Errorf("look for kept sessions: %w", err)
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
	return "", fmt.Errorf("sessions are kept of %s: say with -kept whose to go on with", strings.Join(names, ", "))
}

var errNoSession = errors.New("log in with -as NAME, or sign up with -as NAME -signup EMAIL")

// before returns what an earlier login of the same name has left, or nothing.
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

// keep keeps a session that has begun.
func keep(ctx context.Context, server, file string, session *client.Session, warn io.Writer) *kept {
	k := &kept{server: server, file: file, warn: warn, held: record{Login: rand.Text(), Credentials: session.Credentials()}}
	defer k.lock(ctx)()
	k.write()
	return k
}

// resume goes on with the session in a file.
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewWithin)
	defer cancel()
	t, err := session.Token(ctx, rejected)
	if err != nil {
		return client.Token{}, err
	}
	k.held.Credentials = session.Credentials()
	k.write()
	return t, nil
}

// good returns the token that is held, unless it has ended or was rejected. k.mu is held, as in what
// follows.
func (k *kept) good(rejected string) (client.Token, bool) {
	t := client.Token{Access: k.held.Access, Expires: k.held.Expires}
	return t, t.Access != "" && t.Access != rejected && time.Now().Before(t.Expires)
}

// reload takes over what another program has renewed. The lock is held.
func (k *kept) reload() {
	var now record
	if k.lost || k.read(&now) != nil { // without the file, what is held is the newest
		return
	}
	if now.Login != k.held.Login {
		k.lost = true
		fmt.Fprintln(k.warn, "parley-chat: the session is not kept any more: another login is, in", k.file)
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

// write puts what is held where only the user can read it. The file is replaced whole. The lock is held.
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
		fmt.Fprintln(k.warn, "parley-chat: the session is not kept:", err)
	}
}

// lock keeps other programs from renewing until what it returns is called. Where a file cannot be locked
// no other program shares the session either: one says so, and goes on alone.
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

// lockAgain is how often one asks for a lock that another has.
const lockAgain = 20 * time.Millisecond

// lockFile waits until this program alone has a file's lock, or ctx ends.
func lockFile(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		taken, err := tryLock(f)
		if taken {
			return func() { _ = f.Close() }, nil // which gives the lock back, as the program's end does
		}
		if err == nil {
			select {
			case <-time.After(lockAgain):
				continue
			case <-ctx.Done():
			}
		}
		return nil, fmt.Errorf("lock %s: %w", file, cmp.Or(errors.Join(err, f.Close()), context.Cause(ctx)))
	}
}
