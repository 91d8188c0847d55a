// Package localserver finds, installs and runs a private PostgreSQL and a private Redis, for the
// standalone product and for tests.
//
// A server is reachable only from this machine, and by default only by this user. It is a child of
// this process and stops with it (on Linux, even if this process is killed). The server's data
// directory is locked while the server is running, so no second server can use it.
package localserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The oldest supported server versions.
const (
	MinPostgres = 15
	MinRedis    = 7
)

// Binaries describes the server programs found on this machine.
type Binaries struct {
	Postgres        string // folder that contains postgres and initdb
	PostgresVersion string
	Redis           string // redis-server or valkey-server
	RedisVersion    string
}

// MissingError reports which servers were not found, and how to install them.
type MissingError struct {
	Postgres, Redis bool
	TooOld          []string // servers that were found but are too old
}

func (e *MissingError) Error() string {
	var b strings.Builder
	switch {
	case e.Postgres && e.Redis:
		fmt.Fprintf(&b, "no PostgreSQL %d or newer and no Redis %d.0 or newer found", MinPostgres, MinRedis)
	case e.Postgres:
		fmt.Fprintf(&b, "no PostgreSQL %d or newer found", MinPostgres)
	default:
		fmt.Fprintf(&b, "no Redis %d.0 or newer found", MinRedis)
	}
	if len(e.TooOld) > 0 {
		fmt.Fprintf(&b, " (too old: %s)", strings.Join(e.TooOld, ", "))
	}
	b.WriteString("; there are three ways:" +
		"\n  1. install them: apt-get install postgresql redis-server, or brew install postgresql@17 redis" +
		"\n  2. run them in containers: docker compose up" +
		"\n  3. set DATABASE_URL and REDIS_URL to servers that are already running")
	return b.String()
}

// These are the folders where package managers put servers that are not on PATH.
var (
	postgresDirs = []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
		"/opt/homebrew/bin", "/usr/local/bin", "/usr/local/pgsql/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	}
	redisDirs  = []string{"/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/homebrew/opt/redis/bin", "/opt/homebrew/opt/valkey/bin"}
	redisNames = []string{"redis-server", "valkey-server"}
)

// Find searches for the servers on PATH and then in the usual folders, where it tries newer
// versions of PostgreSQL first. Even if it returns an error, it returns the servers that it found.
// The error is a *MissingError unless ctx is done.
func Find(ctx context.Context) (Binaries, error) { return find(ctx, postgresDirs, redisDirs) }

func find(ctx context.Context, pgDirs, rdDirs []string) (Binaries, error) {
	var found Binaries
	missing := &MissingError{}
	for _, dir := range postgresCandidates(pgDirs) {
		v, err := version(ctx, filepath.Join(dir, "postgres"))
		if err != nil {
			continue // dir contains no working server; try the next folder
		}
		if v.major() < MinPostgres {
			missing.TooOld = append(missing.TooOld, "PostgreSQL "+v.text+" in "+dir)
			continue
		}
		found.Postgres, found.PostgresVersion = dir, v.text
		break
	}
	for _, path := range redisCandidates(rdDirs) {
		v, err := version(ctx, path)
		if err != nil {
			continue
		}
		if v.major() < MinRedis {
			missing.TooOld = append(missing.TooOld, filepath.Base(path)+" "+v.text+" in "+filepath.Dir(path))
			continue
		}
		found.Redis, found.RedisVersion = path, v.text
		break
	}
	if err := ctx.Err(); err != nil {
		return found, fmt.Errorf("find servers: %w", err)
	}
	missing.Postgres, missing.Redis = found.Postgres == "", found.Redis == ""
	if missing.Postgres || missing.Redis {
		return found, missing
	}
	return found, nil
}

// postgresCandidates returns folders that contain both postgres and initdb.
func postgresCandidates(dirs []string) []string {
	var candidates []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // initdb finds its files relative to its real path
		}
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, pattern := range dirs {
		matches, _ := filepath.Glob(pattern) // the patterns are constant and well formed
		slices.SortFunc(matches, func(a, b string) int { return cmp.Compare(dirVersion(b), dirVersion(a)) })
		candidates = append(candidates, matches...)
	}
	return slices.DeleteFunc(candidates, func(dir string) bool {
		return !executable(filepath.Join(dir, "postgres")) || !executable(filepath.Join(dir, "initdb"))
	})
}

// dirVersion returns 17 for /usr/lib/postgresql/17/bin and …/postgresql@17/bin.
func dirVersion(bin string) int { return firstNumber(filepath.Base(filepath.Dir(bin))) }

func redisCandidates(dirs []string) []string {
	var candidates []string
	for _, name := range redisNames {
		if path, err := exec.LookPath(name); err == nil {
			candidates = append(candidates, path)
		}
	}
	for _, dir := range dirs {
		for _, name := range redisNames {
			if path := filepath.Join(dir, name); executable(path) {
				candidates = append(candidates, path)
			}
		}
	}
	return candidates
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// serverVersion is a version in the form that the server prints: "15.18", "7.0.15" or "18beta1".
type serverVersion struct{ text string }

func (v serverVersion) major() int { return firstNumber(v.text) }

// versionPattern matches the version in "postgres (PostgreSQL) 15.18 (Debian …)" and in "Redis
// server v=7.0.15 sha=…" or "Valkey server v=8.0.1 …".
var versionPattern = regexp.MustCompile(`(?:\(PostgreSQL\) |server v=)(\d[0-9A-Za-z.]*)`)

func version(ctx context.Context, path string) (serverVersion, error) {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return serverVersion{}, fmt.Errorf("get the version of %s: %w", path, err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return serverVersion{}, errors.New(path + " does not report its version")
	}
	return serverVersion{text: string(m[1])}, nil
}

var digits = regexp.MustCompile(`\d+`)

// firstNumber returns the first number in s, or 0.
func firstNumber(s string) int {
	// Atoi returns 0 if there are no digits, and the largest int if the number is out of range.
	n, _ := strconv.Atoi(digits.FindString(s))
	return n
}
