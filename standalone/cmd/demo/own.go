package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"parley.chat/internal/platform/telemetry"
	"parley.chat/standalone"
)

// answers returns nil if a Parley instance at url responds and is ready.
func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("PARLEY_URL: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no Parley answers there (make run starts one): %w", err)
	}
	defer resp.Body.Close()
	var ready telemetry.Readiness
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&ready); err != nil || ready.Checks == nil {
		return fmt.Errorf("the server at %s is not Parley: %s", url, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the Parley at %s is not ready: %s", url, resp.Status)
	}
	return nil
}

// withOwn starts a private instance, calls do with it, and then stops the instance and removes its
// files.
func withOwn(ctx context.Context, getenv func(string) string, stderr io.Writer, do func(ctx context.Context, url, databaseURL string) error) (err error) {
	dir, err := os.MkdirTemp("", "parley-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// If the demo runs as root, PostgreSQL runs as another user, who must be able to access the
	// folder.
	if err := os.Chmod(dir, 0o711); err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	settings := map[string]string{
		"ADDR": "127.0.0.1:0", "DATA_DIR": filepath.Join(dir, "data"), "LOG_LEVEL": getenv("LOG_LEVEL"),
		// The demo should not be slowed down.
		"RATE_LIMIT": "off", "FRAME_RATE": "off",
	}
	cfg, err := standalone.LoadConfig(func(name string) string { return settings[name] })
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ready, ended := make(chan standalone.Running, 1), make(chan error, 1)
	go func() {
		defer stop() // if the instance fails, the demo ends
		ended <- standalone.Serve(ctx, cfg, standalone.Options{
			Log: stderr, Ready: func(r standalone.Running) { ready <- r },
		})
	}()
	select {
	case r := <-ready:
		err = do(ctx, r.URL, r.DatabaseURL)
		stop()
		return errors.Join(err, <-ended)
	case err := <-ended:
		if err == nil {
			err = context.Cause(ctx)
		}
		return err
	}
}
