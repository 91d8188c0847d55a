package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
)

// Prepared runs a query whose text is one of a few fixed strings, with arguments as $1, $2, …, and
// calls each for every row. It is for the most frequent queries. PostgreSQL parses and plans the
// text once per connection, values are sent in binary format, and pgx scans the rows directly,
// without database/sql or reflection. Use bun for all other queries.
//
// Prepared may call each for some rows before it returns an error. It sends a query again, on
// another connection, only if it is certain that the server has not received it.
func Prepared(ctx context.Context, db *bun.DB, query string, args []any, each func(pgx.Rows) error) error {
	args = append([]any{pgx.QueryExecModeCacheStatement}, args...)
	for try := 0; ; try++ {
		err := prepared(ctx, db, query, args, each)
		if errors.Is(err, driver.ErrBadConn) && try < maxTries {
			continue
		}
		return err
	}
}

// maxTries is the maximum number of times that a query is sent again. database/sql has the same
// limit.
const maxTries = 2

func prepared(ctx context.Context, db *bun.DB, query string, args []any, each func(pgx.Rows) error) error {
	conn, err := db.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // Close returns the connection to the pool, unless the connection is broken
	return conn.Raw(func(driverConn any) error {
		c, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the driver is %T, not pgx", driverConn)
		}
		rows, err := c.Conn().Query(ctx, query, args...)
		if err == nil {
			defer rows.Close()
			for rows.Next() {
				if err := each(rows); err != nil {
					return err
				}
			}
			err = rows.Err()
		}
		if pgconn.SafeToRetry(err) {
			return errors.Join(driver.ErrBadConn, err)
		}
		return err
	})
}
