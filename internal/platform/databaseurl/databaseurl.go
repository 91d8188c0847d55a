// Package databaseurl parses DATABASE_URL. Its errors never show the value.
package databaseurl

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/platform/config"
)

// Parse parses the value of DATABASE_URL. pgx's errors quote the value, and hide the password only
// if pgx recognizes it. So Parse's errors describe the problem in their own words.
func Parse(value string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(value)
	if err == nil {
		return cfg, nil
	}
	reason := errors.New("does not have the form postgres://user:password@host:5432/database?sslmode=…, or has an invalid option")
	if strings.Contains(value, "://") {
		if _, malformed := config.ParseURL(value, "postgres", "postgresql"); malformed != nil {
			reason = malformed
		}
	}
	return nil, &config.Error{Name: "DATABASE_URL", Err: reason}
}
