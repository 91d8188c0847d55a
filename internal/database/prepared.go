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

// Prepared runs a query whose text is one of few, with arguments as $1, $2, …, and calls each for every
// row. It is for what is asked more often than all else: PostgreSQL parses and plans the text once per
// connection, values travel in binary form, and rows are scanned by pgx, without a column's way through
// database/sql and reflection. Everything else is asked through bun.
//
// each may be called for rows of which the last is followed by an error. A query that the server has not
// seen for sure is sent again on another connection.
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

// maxTries is what database/sql allows, too, before the error is the caller's.
const maxTries = 2

func prepared(ctx context.Context, db *bun.DB, query string, args []any, each func(pgx.Rows) error) error {
	conn, err := db.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // which only hands it back; one that is broken has gone by now
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
