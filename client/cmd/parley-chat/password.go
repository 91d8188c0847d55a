package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// keyboardOf returns the input if it is a terminal; otherwise it returns nil.
func keyboardOf(input io.Reader) *os.File {
	if f, ok := input.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// readPassword reads a line. On a terminal it turns echo off and restores it afterward, even if
// ctx is done first.
func readPassword(ctx context.Context, keyboard *os.File, lines *bufio.Scanner, prompt io.Writer) (string, error) {
	if keyboard == nil {
		if !lines.Scan() {
			return "", errors.New("no password")
		}
		return strings.TrimSuffix(lines.Text(), "\r"), nil
	}
	fd := int(keyboard.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	type answer struct {
		password []byte
		err      error
	}
	typed := make(chan answer, 1)
	go func() { // a read from a terminal cannot be interrupted, so the goroutine runs until the program ends
		password, err := term.ReadPassword(fd)
		typed <- answer{password, err}
	}()
	defer fmt.Fprintln(prompt) // the newline was not echoed either
	select {
	case a := <-typed:
		if a.err != nil {
			return "", errors.New("no password")
		}
		return string(a.password), nil
	case <-ctx.Done():
		_ = term.Restore(fd, before) // the program ends in any case
		return "", context.Cause(ctx)
	}
}
