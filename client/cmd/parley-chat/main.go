// Command parley-chat is a chat client for the terminal: history, live messages, how far one's own have
// come, who types, and how it is with the connection. What is typed is sent; lines with / are commands.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
)

const usage = `Usage: parley-chat [-url URL] [-as NAME] [-signup EMAIL] [-session FILE] [channel id]

Logs in as NAME, or signs NAME up, and asks for the password on standard input. The session is kept in
FILE, so that the next time none of this is needed. With a channel's id, joins it.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal ends the process
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "parley-chat:", err)
		os.Exit(1)
	}
}

// run is the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("parley-chat", flag.ContinueOnError)
	flags.SetOutput(stderr)
	server := flags.String("url", "http://localhost:8080", "the server")
	name := flags.String("as", "", "username to log in as")
	email := flags.String("signup", "", "sign up, with this address")
	file := flags.String("session", "", "where the session is kept (default: in your configuration folder)")
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
		fmt.Fprint(stderr, "\n", commands)
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	lines := bufio.NewScanner(stdin)
	session, err := open(ctx, *server, *name, *email, *file, lines, stderr)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{URL: *server, Tokens: session})
	if err != nil {
		return err
	}
	return newScreen(c, stdout).run(ctx, lines, flags.Arg(0))
}

// open logs in, or goes on with the session that was kept.
func open(ctx context.Context, server, name, email, file string, lines *bufio.Scanner, prompt io.Writer) (*client.Session, error) {
	if file == "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("where to keep the session (say it with -session): %w", err)
		}
		file = filepath.Join(dir, "parley", "session.json")
	}
	if name == "" {
		return resume(server, file)
	}
	fmt.Fprintf(prompt, "password of %s: ", name)
	if !lines.Scan() {
		return nil, errors.New("no password")
	}
	password := strings.TrimSuffix(lines.Text(), "\r")
	var session *client.Session
	var err error
	if email != "" {
		session, err = client.SignUp(ctx, server, name, email, password)
	} else {
		session, err = client.LogIn(ctx, server, name, password)
	}
	if err != nil {
		return nil, describe(err)
	}
	session.Renewed = keep(file)
	session.Renewed(session.Credentials())
	return session, nil
}

func resume(server, file string) (*client.Session, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("log in with -as NAME, or sign up with -as NAME -signup EMAIL")
	}
	if err != nil {
		return nil, fmt.Errorf("read the session: %w", err)
	}
	var kept client.Credentials
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, fmt.Errorf("read the session %s: %w", file, err)
	}
	session, err := client.Resume(server, kept)
	if err != nil {
		return nil, err
	}
	session.Renewed = keep(file)
	return session, nil
}

// keep writes credentials where only the user can read them. A refresh token is good once: the file is
// replaced whole.
func keep(file string) func(client.Credentials) {
	return func(kept client.Credentials) {
		b, err := json.Marshal(kept)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(file), 0o700)
		}
		if err == nil {
			err = os.WriteFile(file+".new", b, 0o600)
		}
		if err == nil {
			err = os.Rename(file+".new", file)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "parley-chat: the session is not kept:", err)
		}
	}
}

// describe says in words what the server has refused.
func describe(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case e.Code == apierr.Unauthenticated:
		return errors.New("the session has ended: log in again, with -as NAME")
	case e.RetryAfter > 0:
		return fmt.Errorf("%s (again in %v)", e.Message, e.RetryAfter)
	default:
		return errors.New(e.Message)
	}
}
