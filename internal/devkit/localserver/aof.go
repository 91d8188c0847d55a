package localserver

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// truncatedAOF is part of the message that Redis logs before it exits because its append-only file
// ends in the middle of a command or a transaction. The file ends there if Redis was killed while
// it was writing. Other kinds of damage cause other messages.
const truncatedAOF = "Unexpected end of file reading the append only file"

// cutAOF removes an unfinished transaction from the end of the append-only file.
//
// Redis would also do this by itself (aof-load-truncated yes). But if the file ends in the middle
// of a command in a transaction, Redis removes only that command. The rest of the transaction stays
// in the file and is executed at the next start, together with all commands that were written after
// it (github.com/valkey-io/valkey/pull/4342). redis-check-aof removes the whole transaction.
func (r *Redis) cutAOF(ctx context.Context) error {
	// redis-server and redis-check-aof are the same binary; the name in Args[0] determines which of
	// them runs.
	check := exec.CommandContext(ctx, r.opts.Bin, "--fix", filepath.Join(r.opts.Dir, "appendonlydir", "appendonly.aof.manifest"))
	check.Args[0] = strings.Replace(filepath.Base(r.opts.Bin), "-server", "-check-aof", 1)
	check.Stdin = strings.NewReader("y\n") // it asks before it removes anything
	if out, err := check.CombinedOutput(); err != nil {
		return fmt.Errorf("repair the append-only file: %w: %s", err, out)
	}
	return nil
}
