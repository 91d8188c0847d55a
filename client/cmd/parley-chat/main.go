// Command parley-chat is a chat client for the terminal. It shows the history, live messages, the
// delivery state of the user's own messages, who is typing, and the state of the connection. It
// sends each typed line as a message; lines that begin with / are commands.
//
// The input may also be a pipe. The program exits when the server has acknowledged all messages. If
// some messages are not acknowledged, it reports them and exits with a nonzero status.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"parley.chat/client"
	"parley.chat/shared-contracts/apierr"
)

const usage = `Usage: parley-chat [-url URL] [-as NAME] [-signup EMAIL] [-kept NAME] [-session FILE] [channel id]

Logs in as NAME, or signs NAME up, and reads the password from standard input. The session is stored in
FILE, or in a file per server and user in your configuration folder, so that next time you need no options.
If several sessions are stored, select one with -kept. Any number of programs may use one session at the
same time. If a channel id is given, joins that channel.

`

// maxLine is the maximum length of a typed line, in bytes. It is greater than the server's limit,
// so that the server reports an error for a line that is too long.
const maxLine = 1 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the next signal ends the process
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "parley-chat:", err)
		os.Exit(1)
	}
}

// login holds the values of the login flags.
type login struct{ server, name, email, kept, file string }

// run runs the program.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	var l login
	flags := flag.NewFlagSet("parley-chat", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&l.server, "url", "http://localhost:8080", "the server")
	flags.StringVar(&l.name, "as", "", "username to log in with")
	flags.StringVar(&l.email, "signup", "", "sign up with this email address")
	flags.StringVar(&l.kept, "kept", "", "username whose stored session to use")
	flags.StringVar(&l.file, "session", "", "file of the session (default: in your configuration folder)")
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
	lines.Buffer(nil, maxLine)
	keyboard := keyboardOf(stdin)
	session, err := l.open(ctx, keyboard, lines, stderr)
	if err != nil {
		return err
	}
	c, err := client.New(client.Config{URL: l.server, Tokens: session})
	if err != nil {
		return err
	}
	s := newScreen(c, stdout)
	s.piped = keyboard == nil
	return s.run(ctx, lines, flags.Arg(0))
}

// open logs in if the flags contain a login name. Otherwise, it resumes the stored session.
func (l login) open(ctx context.Context, keyboard *os.File, lines *bufio.Scanner, prompt io.Writer) (*kept, error) {
	if l.name == "" {
		file, err := l.find()
		if err != nil {
			return nil, err
		}
		return resume(l.server, file, prompt)
	}
	fmt.Fprintf(prompt, "password of %s: ", l.name)
	password, err := readPassword(ctx, keyboard, lines, prompt)
	if err != nil {
		return nil, err
	}
	var session *client.Session
	if l.email != "" {
		session, err = client.SignUp(ctx, l.server, l.name, l.email, password)
	} else {
		session, err = client.LogInAgain(ctx, l.server, l.name, password, l.before())
	}
	if err != nil {
		return nil, describe(err)
	}
	file := l.file
	if file == "" {
		if file, err = sessionFile(l.server, session.User().Username); err != nil {
			return nil, err
		}
	}
	return keep(ctx, l.server, file, session, prompt), nil
}

// describe replaces an error response from the server with an error that has a readable message. It
// returns other errors unchanged.
func describe(err error) error {
	e, ok := errors.AsType[*client.Error](err)
	switch {
	case !ok:
		return err
	case e.Code == apierr.Unauthenticated:
		return errors.New("the session has ended: log in again, with -as NAME")
	case e.RetryAfter > 0:
		return fmt.Errorf("%s (retry in %s)", e.Message, apierr.Duration(e.RetryAfter.Round(100*time.Millisecond)))
	default:
		return errors.New(e.Message)
	}
}
