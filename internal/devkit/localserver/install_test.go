package localserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstall_apt(t *testing.T) {
	root := t.TempDir()
	policy := filepath.Join(root, "usr/sbin/policy-rc.d")
	// This fake apt-get records its arguments, and whether services are prevented from starting.
	script(t, root+"/bin", "apt-get", `echo "$@ $DEBIAN_FRONTEND $(`+policy+`; echo $?) $(cat `+root+`/etc/postgresql-common/createcluster.d/parley.conf)"`)
	t.Setenv("PATH", root+"/bin:/bin:/usr/bin")
	for _, tt := range []struct {
		name    string
		missing *MissingError
		want    []string
	}{
		{"both", &MissingError{Postgres: true, Redis: true}, []string{"postgresql redis-server noninteractive 101 create_main_cluster = false"}},
		{"one", &MissingError{Redis: true}, []string{"--no-install-recommends redis-server noninteractive 101"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			calls := 0
			find := func(context.Context) (Binaries, error) {
				if calls++; calls > 1 {
					return Binaries{}, nil
				}
				return Binaries{}, tt.missing
			}
			if err := (installer{stderr: &out, root: root, uid: 0, find: find}).run(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, want := range append(tt.want, "update -q") {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if _, err := os.Stat(policy); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("policy-rc.d was left behind: %v", err)
			}
		})
	}
}

func TestInstall_keepsExistingPolicy(t *testing.T) {
	root := t.TempDir()
	script(t, root+"/usr/sbin", "policy-rc.d", "exit 7")
	cleanup, err := installer{stderr: &strings.Builder{}, root: root}.keepQuiet()
	if err != nil {
		t.Fatal(err)
	}
	cleanup()
	if b, err := os.ReadFile(root + "/usr/sbin/policy-rc.d"); err != nil || !strings.Contains(string(b), "exit 7") {
		t.Errorf("policy-rc.d = %q, %v; want it untouched", b, err)
	}
}

func TestInstall_impossible(t *testing.T) {
	root := t.TempDir()
	script(t, root, "apt-get", "exit 1") // installed, but not usable for Parley
	t.Setenv("PATH", root)
	find := func(context.Context) (Binaries, error) { return Binaries{}, &MissingError{Redis: true} }
	err := installer{stderr: &strings.Builder{}, root: root, uid: 1000, find: find}.run(t.Context())
	if _, ok := errors.AsType[*MissingError](err); !ok {
		t.Errorf("Install = %v, want Find's error", err)
	}
	err = installer{stderr: &strings.Builder{}, root: root, uid: 0, find: find}.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "apt-get update") || !strings.Contains(err.Error(), "docker compose up") {
		t.Errorf("Install = %v, want what failed and the other ways", err)
	}
}
