package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/uptrace/bun"

	chatservice "parley.chat/chat-service"
	"parley.chat/chat-service/internal/ops"
	"parley.chat/internal/platform/database"
)

const operatorUsage = `  chat-service operator grant NAME    let a user view the pipeline at /ops
  chat-service operator revoke NAME   revoke that permission
  chat-service operator list          list the operators
`

// commandTimeout limits the duration of a command that needs PostgreSQL.
const commandTimeout = 15 * time.Second

// operator runs a command that grants or revokes the operator role or lists the operators. The
// command may run while instances of chat-service are running; changes take effect immediately.
func operator(ctx context.Context, stdout io.Writer, args []string, cfg chatservice.Config) error {
	if !(len(args) == 1 && args[0] == "list" || len(args) == 2 && (args[0] == "grant" || args[0] == "revoke")) {
		return errors.New("operator: expected list, grant NAME or revoke NAME, see --help")
	}
	return withDatabase(ctx, cfg, "chat-service operator", func(ctx context.Context, db *bun.DB) error {
		if args[0] != "list" {
			return ops.SetOperator(ctx, db, args[1], args[0] == "grant")
		}
		names, err := ops.Operators(ctx, db)
		for _, name := range names {
			fmt.Fprintln(stdout, name)
		}
		return err
	})
}

// withDatabase connects to PostgreSQL, calls do, and then closes the connection.
func withDatabase(ctx context.Context, cfg chatservice.Config, name string, do func(ctx context.Context, db *bun.DB) error) (err error) {
	db, err := database.Open(cfg.DatabaseURL, database.Options{
		Role: cfg.DatabaseRole, MaxConns: 1, StatementTimeout: commandTimeout, ApplicationName: name,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	return do(ctx, db)
}
