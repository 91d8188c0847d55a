package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// K6 runs a k6 script against a gateway, with the users of a population. It writes k6's output to
// out. It returns an error if the run crosses one of the script's thresholds.
func (s *Stage) K6(ctx context.Context, program, script string, gateway *Process, p *Population, long time.Duration, out io.Writer) (err error) {
	type user struct {
		Token     string `json:"token"`
		ChannelID string `json:"channel_id"`
	}
	var users []user
	for _, one := range p.People {
		users = append(users, user{one.Token, p.Channels[one.Channel].String()})
	}
	b, err := json.Marshal(users)
	if err != nil {
		return fmt.Errorf("list the users for k6: %w", err)
	}
	list := filepath.Join(s.dir, "k6-users.json") // the file contains tokens
	if err := os.WriteFile(list, b, 0o600); err != nil {
		return fmt.Errorf("list the users for k6: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(list)) }()
	cmd := exec.CommandContext(ctx, program, "run", "--quiet", "--no-usage-report",
		"--env", "PARLEY_WS=ws://"+gateway.Addr, "--env", "PARLEY_USERS="+list, "--env", "SECONDS="+strconv.Itoa(int(long.Seconds())), script)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run k6 %s: %w", filepath.Base(script), err)
	}
	return nil
}
