package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// keyboard creates a terminal. Text written to person acts as keyboard input, and can be read back
// from person if the terminal echoes it.
func keyboard(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	var locked, number int32
	control(t, person, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(t, person, syscall.TIOCGPTN, unsafe.Pointer(&number))
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}

// control runs an ioctl on a terminal.
func control(t *testing.T, f *os.File, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	conn, err := f.SyscallConn() // Fd would switch the file to blocking mode
	if err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	err = conn.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
	})
	if err != nil || errno != 0 {
		t.Fatalf("control a terminal: %v, %v", err, errno)
	}
}

// shows reports whether a terminal echoes its input.
func shows(t *testing.T, f *os.File) bool {
	t.Helper()
	var settings syscall.Termios
	control(t, f, syscall.TCGETS, unsafe.Pointer(&settings))
	return settings.Lflag&syscall.ECHO != 0
}

// TestTerminal_password checks that a password is not shown while it is typed, and that later input
// is.
func TestTerminal_password(t *testing.T) {
	w := newWorld(t)
	w.signup("ann")
	person, program := keyboard(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(proctest.Build(t, "parley-chat"), "parley-chat"),
		"-url", w.front(), "-as", "ann", "-session", filepath.Join(t.TempDir(), "session.json"))
	printed, shown := &terminal{}, &terminal{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // until person is closed
		defer close(done)
		for b := make([]byte, 1024); ; {
			n, err := person.Read(b)
			if err != nil {
				return
			}
			_, _ = shown.Write(b[:n]) // writes to memory do not fail
		}
	}()
	printed.await(t, "password of ann: ")
	testkit.Until(t, testkit.Timeout, func() error {
		if shows(t, program) {
			return errors.New("the terminal shows what is typed")
		}
		return nil
	})
	typed := typist(t, person)
	typed("correct horse ann")
	printed.await(t, "· online")
	typed("/create tea")
	printed.await(t, "in tea")
	shown.await(t, "/create tea")
	typed("/quit")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, printed)
	}
	if shown.has("horse") {
		t.Errorf("the terminal shows the password:\n%s", shown)
	}
	_ = person.Close()
	<-done
}
