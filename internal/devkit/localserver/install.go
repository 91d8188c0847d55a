package localserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Ensure finds the servers, and installs missing ones if it can. It reports its progress on stderr.
func Ensure(ctx context.Context, stderr io.Writer) (Binaries, error) {
	found, err := Find(ctx)
	if err == nil {
		return found, nil
	}
	if _, ok := errors.AsType[*MissingError](err); !ok {
		return found, err
	}
	if err := Install(ctx, stderr); err != nil {
		return found, err
	}
	return Find(ctx)
}

// Install installs the servers that Find does not find. It uses apt-get as root on Debian and its
// derivatives, and brew if it does not run as root. Install starts no system service and creates no
// database cluster. If it can use neither apt-get nor brew, it returns Find's error, which lists
// the alternatives.
func Install(ctx context.Context, stderr io.Writer) error {
	return installer{stderr: stderr, root: "/", uid: os.Geteuid(), find: Find}.run(ctx)
}

// installer implements Install. Its fields allow tests to replace parts of it.
type installer struct {
	stderr io.Writer
	root   string // the folder that contains usr and etc
	uid    int
	find   func(context.Context) (Binaries, error)
}

func (i installer) run(ctx context.Context) error {
	_, err := i.find(ctx)
	missing, ok := errors.AsType[*MissingError](err)
	if !ok {
		return err
	}
	apt, aptErr := exec.LookPath("apt-get")
	brew, brewErr := exec.LookPath("brew")
	switch {
	case aptErr == nil && i.uid == 0:
		err = i.apt(ctx, apt, missing)
	case brewErr == nil && i.uid != 0: // brew refuses to run as root
		err = i.brew(ctx, brew, missing)
	default:
		return missing
	}
	if err != nil {
		return fmt.Errorf("install servers: %w; %w", err, missing)
	}
	if _, err := i.find(ctx); err != nil {
		return fmt.Errorf("after the installation: %w", err)
	}
	return nil
}

func (i installer) apt(ctx context.Context, apt string, missing *MissingError) error {
	var packages []string
	if missing.Postgres {
		packages = append(packages, "postgresql")
	}
	if missing.Redis {
		packages = append(packages, "redis-server")
	}
	fmt.Fprintf(i.stderr, "Installing %v with apt-get (no system service will be started).\n", packages)
	cleanup, err := i.keepQuiet()
	defer cleanup()
	if err != nil {
		return err
	}
	if err := i.command(ctx, apt, "update", "-q"); err != nil {
		return err
	}
	return i.command(ctx, apt, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)...)
}

// keepQuiet prevents the package scripts from starting services and creating a cluster while the
// installation runs. It uses policy-rc.d, Debian's mechanism for this purpose. It does not change
// an existing policy-rc.d, because an administrator put it there on purpose.
func (i installer) keepQuiet() (cleanup func(), err error) {
	var made []string
	cleanup = func() {
		for _, path := range made {
			if err := os.Remove(path); err != nil {
				fmt.Fprintf(i.stderr, "Could not remove a temporary file: %v\n", err)
			}
		}
	}
	for _, f := range []struct {
		path, content string
		mode          os.FileMode
	}{
		{"usr/sbin/policy-rc.d", "#!/bin/sh\n# Temporary: Parley is installing packages and wants no services started.\nexit 101\n", 0o755},
		{"etc/postgresql-common/createcluster.d/parley.conf", "create_main_cluster = false\n", 0o644},
	} {
		path := filepath.Join(i.root, f.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return cleanup, fmt.Errorf("prepare the installation: %w", err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return cleanup, fmt.Errorf("prepare the installation: %w", err)
		}
		made = append(made, path)
		_, err = file.WriteString(f.content)
		if err := errors.Join(err, file.Close()); err != nil {
			return cleanup, fmt.Errorf("prepare the installation: %w", err)
		}
	}
	return cleanup, nil
}

func (i installer) brew(ctx context.Context, brew string, missing *MissingError) error {
	args := []string{"install"}
	if missing.Postgres {
		args = append(args, "postgresql@17")
	}
	if missing.Redis {
		args = append(args, "redis")
	}
	fmt.Fprintf(i.stderr, "Installing %v with brew.\n", args[1:])
	return i.command(ctx, brew, args...)
}

func (i installer) command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = i.stderr, i.stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), args[0], err)
	}
	return nil
}
