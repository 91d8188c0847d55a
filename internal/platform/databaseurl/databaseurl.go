// Package databaseurl reads DATABASE_URL without ever showing it.
package databaseurl

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"

	"parley.chat/internal/platform/config"
)

// Parse reads the value of DATABASE_URL. pgx quotes the value in its error and hides the password only if it
// recognizes it, so the error of Parse has words of its own.
func Parse(value string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(value)
	if err == nil {
		return cfg, nil
	}
	reason := errors.New("is not like postgres://user:password@host:5432/database?sslmode=…, or has an option that is not valid")
	if strings.Contains(value, "://") {
		if _, malformed := config.ParseURL(value, "postgres", "postgresql"); malformed != nil {
			reason = malformed
		}
	}
	return nil, &config.Error{Name: "DATABASE_URL", Err: reason}
}
