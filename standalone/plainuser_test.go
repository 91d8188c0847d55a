package standalone_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"parley.chat/internal/devkit/subprocess"
	"parley.chat/internal/devkit/testkit"
	"parley.chat/internal/devkit/testkit/proctest"
)

// TestProgram_asPlainUser runs the built program as a user other than root. The other tests run as
// the current user.
func TestProgram_asPlainUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("we are no root: the other tests have shown it")
	}
	nobody, err := osuser.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, errUID := strconv.Atoi(nobody.Uid)
	gid, errGID := strconv.Atoi(nobody.Gid)
	if errUID != nil || errGID != nil {
		t.Fatal(errors.Join(errUID, errGID))
	}
	// Other users may be unable to access the folder that contains the built program.
	home := filepath.Dir(dataDir(t))
	program := filepath.Join(home, "standalone")
	built, err := os.ReadFile(filepath.Join(proctest.Build(t, "standalone"), "standalone"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, built, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, uid, gid); err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("127.0.0.1:%d", proctest.FreePort(t))
	said := &testkit.Output{}
	proc, err := subprocess.Start(subprocess.Spec{
		Path: program, Dir: home, Output: said, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "ADDR=" + url},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proc.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the program said:\n%s", said)
		}
	})
	url = "http://" + url
	client := &http.Client{Timeout: testkit.Timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	testkit.Until(t, testkit.Timeout, func() error {
		select {
		case <-proc.Done():
			t.Fatalf("the program ended: %v", proc.Err())
		default:
		}
		resp, err := client.Get(url + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
	ada := newUser(t, url)
	ada.signUp()
	ada.talk(ada.createChannel(), "plain")
	info, err := os.Stat(filepath.Join(home, ".data", "postgresql")) // DATA_DIR by default
	if err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != uid {
		t.Errorf("the database belongs to %+v, %v, want %d", info, err, uid)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
	defer cancel()
	if err := errors.Join(proc.Stop(ctx, syscall.SIGINT), proc.Err()); err != nil {
		t.Errorf("Ctrl-C: %v", err)
	}
}
