package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// typist types into a program.
func typist(t *testing.T, in io.Writer) func(format string, args ...any) {
	return func(format string, args ...any) {
		t.Helper()
		if _, err := fmt.Fprintf(in, format+"\n", args...); err != nil {
			t.Fatal(err)
		}
	}
}

// pipe runs parley-chat with an input that ends.
func pipe(t *testing.T, input string, args ...string) (printed string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(proctest.Build(t, "parley-chat"), "parley-chat"), args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestTerminal_piped checks that piped input is sent before the program exits, or that the program
// reports the lines that were not sent.
func TestTerminal_piped(t *testing.T) {
	w := newWorld(t)
	front := w.front()
	ann, bob := w.signup("ann"), w.signup("bob")
	tea := ann.createChannel("tea", "public")
	bob.join(tea)
	file := filepath.Join(t.TempDir(), "session.json")
	args := []string{"-url", front, "-as", "bob", "-session", file}

	if out, err := pipe(t, "correct horse bob\nPIPED-1\nPIPED-2\n", append(args, tea.String())...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var bodies []string
	for _, m := range ann.history(tea) {
		bodies = append(bodies, m.Body)
	}
	if got := strings.Join(bodies, " "); got != "PIPED-1 PIPED-2" {
		t.Errorf("the channel has %q", got)
	}

	if out, err := pipe(t, "correct horse bob\nto nobody\n", append(args, ann.createChannel("cellar", "private").String())...); err == nil {
		t.Errorf("piping into another user's channel: no error\n%s", out)
	}
	if out, err := pipe(t, "correct horse bob\n"+strings.Repeat("x", 20_000)+"\n", append(args, tea.String())...); err == nil || !strings.Contains(out, "✗ not sent: xxx") {
		t.Errorf("too long: %v\n%.300s", err, out)
	}
	w.ws[0].proc.Kill(t)
	if out, err := pipe(t, "LOST\n", "-url", front, "-session", file, tea.String()); err == nil || !strings.Contains(out, "✗ not sent: LOST") {
		t.Errorf("without a gateway: %v\n%s", err, out)
	}
}

// TestTerminal_sessions checks that each user has a separate session, and that programs run by one
// user share a session, even when it is renewed.
func TestTerminal_sessions(t *testing.T) {
	w := newWorldWith(t, map[string]string{"ACCESS_TOKEN_TTL": "6s"})
	front := w.front()
	config := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", config)
	in, ann := person(t, "-url", front, "-as", "ann", "-signup", "ann@example.test")
	typed := typist(t, in)
	typed("correct horse ann")
	ann.await(t, "· online")
	typed("/create tea")
	tea := ann.await(t, `others join with /join (\S+)`)
	in, bob := person(t, "-url", front, "-as", "bob", "-signup", "bob@example.test")
	bobTyped := typist(t, in)
	bobTyped("correct horse bob")
	bob.await(t, "· online")
	bobTyped("/join %s", tea)
	bob.await(t, "in tea")
	in, again := person(t, "-url", front, "-kept", "ann", tea)
	againTyped := typist(t, in)
	again.await(t, "· online")

	files, err := filepath.Glob(filepath.Join(config, "parley", "*", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("kept: %v, %v", files, err)
	}
	for range 3 {
		was := refreshToken(t, files[0])
		testkit.Until(t, testkit.Timeout, func() error {
			if refreshToken(t, files[0]) == was {
				return fmt.Errorf("no renewal in %s", files[0])
			}
			return nil
		})
	}
	typed("from the first")
	againTyped("from the second")
	bobTyped("from bob")
	for name, p := range map[string]*terminal{"ann": ann, "bob": bob, "ann again": again} {
		for _, line := range []string{"ann: from the first", "ann: from the second", "bob: from bob"} {
			p.await(t, line)
		}
		if p.has("session") || p.has("offline") {
			t.Errorf("%s was disconnected:\n%s", name, p)
		}
	}
}

func refreshToken(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	return kept.Refresh
}

// TestTerminal_channels checks that a direct channel is selected by the other user's name, that a
// failed selection leaves no channel selected, and that reactions and mentions are shown as such.
func TestTerminal_channels(t *testing.T) {
	w := newWorld(t)
	front := w.front()
	annIn, ann := person(t, "-url", front, "-as", "ann", "-signup", "ann@example.test", "-session", filepath.Join(t.TempDir(), "ann"))
	typed := typist(t, annIn)
	typed("correct horse ann")
	ann.await(t, "· online")
	typed("/create tea")
	tea := ann.await(t, `others join with /join (\S+)`)
	ann.await(t, "in tea")
	bobIn, bob := person(t, "-url", front, "-as", "bob", "-signup", "bob@example.test", "-session", filepath.Join(t.TempDir(), "bob"))
	bobTyped := typist(t, bobIn)
	bobTyped("correct horse bob")
	bob.await(t, "· online")
	bobTyped("/join %s", tea)
	ann.await(t, "tea: bob joined")

	typed("good morning @bob")
	bob.await(t, `\[tea\] \d\d:\d\d ann: good morning @bob \(names you\)\n`)
	bobTyped("/react 🍵")
	ann.await(t, `· tea: bob reacts with 🍵 to “good morning @bob”\n`)
	bobTyped("/unreact 🍵")
	ann.await(t, `· tea: bob takes back 🍵 from “good morning @bob”\n`)

	typed("/to nowhere")
	ann.await(t, `/to: you have no channel "nowhere"`)
	typed("/delete")
	ann.await(t, `/delete: no channel`)
	typed("to nobody")
	ann.await(t, `✗ not sent: to nobody: no channel`)

	typed("/dm bob just us")
	ann.await(t, `\[@bob\] \d\d:\d\d ann: just us\n`)
	bob.await(t, `\[@ann\] \d\d:\d\d ann: just us\n`)
	typed("/to bob")
	ann.await(t, `talking in @bob\n`)
	typed("here as well")
	bob.await(t, `\[@ann\] \d\d:\d\d ann: here as well\n`)
	bobTyped("/dm ann")
	bob.await(t, `talking in @ann\n`)
	bobTyped("so do I")
	ann.await(t, `\[@bob\] \d\d:\d\d bob: so do I\n`)
	if ann.has("deleted a message") || bob.has("deleted a message") || bob.has("to nobody") {
		t.Errorf("text typed without a channel was sent:\n%s", bob)
	}
}

func (o *terminal) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func (o *terminal) has(text string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Contains(o.b.Bytes(), []byte(text))
}
