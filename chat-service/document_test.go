package chatservice_test

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/reference"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	source, err := os.ReadFile("../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if a := w.get("/openapi.yaml", ""); a.status != 200 || !bytes.Equal(a.body, source) {
		t.Errorf("/openapi.yaml = %d, %d bytes; want docs/openapi.yaml", a.status, len(a.body))
	}
	a := w.get("/docs", "")
	if a.status != 200 || !strings.Contains(string(a.body), `id="sendMessage"`) || a.header.Get("ETag") == "" {
		t.Errorf("/docs = %d %v %.200s", a.status, a.header, a.body)
	}
	// The API's own policy would allow neither the style sheet nor the script.
	if policy := a.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self'; ") {
		t.Errorf("policy = %s", policy)
	}
	resp, err := w.client.Get(w.url + "/docs/websocket")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("/docs/websocket = %d %v", resp.StatusCode, resp.Header)
	}
}

// TestDocument_curl runs the documentation's examples for curl. Each of them must be a request that
// the API accepts as valid, although most of the resources that the examples name do not exist
// here.
func TestDocument_curl(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Fatal("curl is not installed: apt-get install curl")
	}
	w := newWorld(t)
	doc, err := api.Load()
	if err != nil {
		t.Fatal(err)
	}
	ref, err := reference.New(doc)
	if err != nil {
		t.Fatal(err)
	}
	run := func(o reference.Operation, token string) answer {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", `curl() { command curl -sS -o body -D header -w '%{http_code}' "$@"; }; `+strings.ReplaceAll(o.Curl, " -O ", " "))
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "PARLEY="+w.url, "TOKEN="+token, "NO_PROXY=*")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v in\n%s", o.ID, err, o.Curl)
		}
		a := answer{header: http.Header{}}
		if a.status, err = strconv.Atoi(string(out)); err != nil {
			t.Fatalf("%s: %v in %s", o.ID, err, out)
		}
		header, err := os.ReadFile(filepath.Join(cmd.Dir, "header"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(header)) {
			if name, value, found := strings.Cut(strings.TrimSpace(line), ": "); found {
				a.header.Add(name, value)
			}
		}
		if a.body, err = os.ReadFile(filepath.Join(cmd.Dir, "body")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return a
	}
	elsewhere := []string{"getHealth", "getReadiness", "getMetrics"} // the program serves these
	want := map[string]int{
		"signUp": 201, "getMe": 200, "updateMe": 200, "deleteMe": 204, "changePassword": 200, "logOut": 204, "listSessions": 200, "revokeOtherSessions": 204,
		"listUsers": 200, "getProfiles": 200, "listContacts": 200, "createGroup": 201, "listGroups": 200, "createChannel": 201, "listChannels": 200,
		"listInvitations": 200, "getKeys": 200, "getSpecification": 200, "getDocumentation": 200, "refreshSession": 401, "logIn": 200, "getOpsMetrics": 403,
	}
	for _, s := range ref.Sections {
		for _, o := range s.Operations {
			if slices.Contains(elsewhere, o.ID) {
				continue
			}
			token := ""
			if o.Login != reference.NoLogin {
				token = w.signup("user." + strings.ToLower(o.ID)).Token
			}
			a := run(o, token)
			path := strings.NewReplacer("{", "", "}", "").Replace(o.Path)
			if err := checkAnswer(o.Method, path, a); err != nil {
				t.Errorf("%s: %v", o.ID, err)
			}
			expected := want[o.ID]
			delete(want, o.ID)
			switch {
			case expected == 0 && a.status != 404 && a.status/100 != 2, expected != 0 && a.status != expected:
				t.Errorf("%s = %d %.300s, want %d, in\n%s", o.ID, a.status, a.body, cmp.Or(expected, 404), o.Curl)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("no such operations: %v", want)
	}
}

// TestPage checks that the web client is served with its security headers, whether or not it was
// built into this program, and that it does not hide other paths.
func TestPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/", "/c/0b9d3f52-6a07-4a39-a6f5-0d9e3cbb6b0a"} {
		resp, err := w.client.Get(w.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("ETag") == "" || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			!strings.Contains(h.Get("Permissions-Policy"), "camera=()") ||
			h.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(h.Get("Content-Security-Policy"), "script-src 'self';") {
			t.Errorf("%s = %d %v", path, resp.StatusCode, h)
		}
	}
	w.get("/v1/nothing", "").want(t, 404, "not_found")
	w.get("/c", "").want(t, 404, "not_found")
}
