// Package pgsession gives every PostgreSQL session the settings that Parley needs, regardless of
// the defaults of the server, the database and the login. It also verifies that these settings are
// in effect.
//
// It applies the settings with a statement after connecting, because a pooler such as PgBouncer
// refuses or drops startup parameters. A later statement reads them back. A session that cannot be
// used is closed before any query runs on it, and the next host of DATABASE_URL is tried.
package pgsession

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"parley.chat/internal/platform/databaseurl"
)

const (
	// connectTimeout limits each attempt to connect to a host if DATABASE_URL has no
	// connect_timeout.
	connectTimeout = 5 * time.Second
	// idleTimeout limits how long an idle transaction may hold its locks, in case its client is
	// gone and the server has not noticed.
	idleTimeout = time.Minute
)

// Options configures sessions.
type Options struct {
	Role             string        // role to set; "" keeps the login's role
	StatementTimeout time.Duration // 0 means no timeout
	ApplicationName  string        // shown in pg_stat_activity
}

// Prepare changes cfg so that this package sets up every connection opened with it. Sessions that
// cannot write are refused, regardless of target_session_attrs in DATABASE_URL.
func Prepare(cfg *pgx.ConnConfig, o Options) {
	if o.ApplicationName != "" {
		cfg.RuntimeParams["application_name"] = o.ApplicationName
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectTimeout)
	m := newMaker(cfg.Config.Copy(), o)
	cfg.ValidateConnect = m.make
	closes := cfg.OnPgError
	cfg.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		return !unusable(err) && (closes == nil || closes(c, err))
	}
}

// Connect opens one session on the database that a DATABASE_URL specifies.
func Connect(ctx context.Context, url string, o Options) (*pgx.Conn, error) {
	cfg, err := databaseurl.Parse(url)
	if err != nil {
		return nil, err
	}
	Prepare(cfg, o)
	return pgx.ConnectConfig(ctx, cfg)
}

// unusable reports whether an error concerns the session rather than the statement. Either the
// session cannot write, or a pooler has replaced it with another session, which has other prepared
// statements. The connection of an unusable session is closed.
func unusable(err *pgconn.PgError) bool {
	switch err.Code {
	case "25006", // read_only_sql_transaction
		"26000", // invalid_sql_statement_name
		"42P05": // duplicate_prepared_statement
		return true
	}
	return false
}

// Error is the reason why a session cannot be used.
type Error struct {
	Reason  string // safe to publish: contains no names, no addresses and no text from a server
	Refused bool   // whether retrying is useless, because the database or the pooler must be changed
	Err     error  // details for the log; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "PostgreSQL " + e.Reason
	}
	return "PostgreSQL " + e.Reason + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrReadOnly is the error for a session that cannot write, because the server is a standby or
// because of its settings.
var ErrReadOnly = &Error{Reason: "is read-only"}

// setting is a PostgreSQL setting with its required value, in the form in which PostgreSQL shows
// it.
type setting struct{ name, value string }

// settings lists the settings that our SQL or its results depend on. standard_conforming_strings
// and client_encoding also ensure that an argument that is inlined into a statement cannot end a
// string literal.
var settings = []setting{
	{"standard_conforming_strings", "on"},
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, MDY"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"search_path", "public"},
	{"transform_null_equals", "off"},
	{"default_transaction_isolation", "read committed"},
}

// mark is a custom setting that identifies a session. If a client finds a mark in a new session, or
// later finds a mark that is not its own, other clients share the session.
const mark = "parley.session"

// maker sets up the sessions that are opened with one connection configuration.
type maker struct {
	cfg    *pgconn.Config // the configuration without Prepare's hooks, for the second connection in proveAlone
	role   string
	setup  string
	values []string // arguments of the setup statement, except the last one, which is the mark
	check  string

	alone atomic.Bool // whether a test has shown that the pooler does not share sessions
}

func newMaker(cfg *pgconn.Config, o Options) *maker {
	m := &maker{cfg: cfg, role: o.Role}
	sets, shows := []string{"current_setting('" + mark + "', true)"}, []string{
		"pg_backend_pid()", "current_user", "getdatabaseencoding()",
		"pg_is_in_recovery() or current_setting('transaction_read_only')::boolean", "current_setting('" + mark + "', true)",
	}
	set := func(name, value string) {
		m.values = append(m.values, value)
		sets = append(sets, fmt.Sprintf("set_config('%s', $%d, false)", name, len(m.values)))
	}
	all := append(settings[:len(settings):len(settings)],
		setting{"statement_timeout", strconv.FormatInt(o.StatementTimeout.Milliseconds(), 10)},
		setting{"idle_in_transaction_session_timeout", strconv.FormatInt(idleTimeout.Milliseconds(), 10)},
		setting{"idle_session_timeout", "0"}, // the pool closes its idle connections itself
		setting{"lock_timeout", "0"},         // statement_timeout also limits waiting for locks
	)
	for _, s := range all {
		set(s.name, s.value)
		shows = append(shows, "current_setting('"+s.name+"')")
	}
	if o.Role != "" {
		set("role", o.Role)
	}
	sets = append(sets, fmt.Sprintf("set_config('%s', $%d, false)", mark, len(m.values)+1))
	m.setup, m.check = "select "+strings.Join(sets, ", "), "select "+strings.Join(shows, ", ")
	return m
}

// made records how a session was set up.
type made struct {
	by     *maker
	mark   string
	values []string // values of the settings, as the server shows them
}

// madeKey is the key under which a connection's custom data holds its *made.
const madeKey = "parley.chat/internal/platform/pgsession"

// make sets up a new session and checks it.
func (m *maker) make(ctx context.Context, c *pgconn.PgConn) error {
	if encoding := c.ParameterStatus("server_encoding"); encoding != "" && encoding != "UTF8" {
		return wrongEncoding(encoding)
	}
	s := &made{by: m, mark: rand.Text()}
	row, err := ask(ctx, c, m.setup, append(m.values[:len(m.values):len(m.values)], s.mark)...)
	if err != nil {
		return m.notSetUp(err)
	}
	if row[0] != "" {
		return shared("a new session already had the mark of another client")
	}
	s.values = row[1:]
	for i, want := range settings {
		if s.values[i] != want.value {
			return &Error{Reason: "does not accept the settings of a session", Refused: true, Err: fmt.Errorf("%s is %q, not %q", want.name, s.values[i], want.value)}
		}
	}
	c.CustomData()[madeKey] = s
	pid, err := s.check(ctx, c)
	if err != nil {
		return err
	}
	// If the process ID reported at connect is not the backend's, the server is behind a pooler,
	// because poolers report a made-up process ID.
	if pid == strconv.FormatUint(uint64(c.PID()), 10) || m.alone.Load() {
		return nil
	}
	return m.proveAlone(ctx, c, s)
}

// notSetUp returns the error for a session whose settings the server refused.
func (m *maker) notSetUp(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && m.role != "" && (e.Code == "22023" || e.Code == "42501") {
		return &Error{
			Reason: "does not give the service its role: run migrate up to create the roles, and grant them to the login",
			Err:    fmt.Errorf("set role %s: %w", m.role, err),
		}
	}
	return fmt.Errorf("set up the session: %w", err)
}

// Check reports whether the session of c can write and still has the settings that pgsession
// applied. It makes one round trip.
func Check(ctx context.Context, c *pgconn.PgConn) error {
	s, ok := c.CustomData()[madeKey].(*made)
	if !ok {
		return errors.New("the session was not made by pgsession")
	}
	_, err := s.check(ctx, c)
	return err
}

// check implements Check. It also returns the process ID of the session's backend.
func (s *made) check(ctx context.Context, c *pgconn.PgConn) (pid string, err error) {
	row, err := ask(ctx, c, s.by.check)
	if err != nil {
		return "", fmt.Errorf("check the session: %w", err)
	}
	user, encoding, readOnly, mark := row[1], row[2], row[3], row[4]
	switch {
	case encoding != "UTF8":
		return "", wrongEncoding(encoding)
	case mark != s.mark:
		return "", shared("the session is not the same as before")
	case s.by.role != "" && user != s.by.role:
		return "", &Error{Reason: "does not keep the role of the service", Err: fmt.Errorf("the user is %s, not %s", user, s.by.role)}
	case readOnly == "t":
		return "", ErrReadOnly
	}
	for i, value := range row[5:] {
		if value != s.values[i] {
			return "", &Error{Reason: "does not keep the settings of a session", Err: fmt.Errorf("setting %d is %q, not %q", i, value, s.values[i])}
		}
	}
	return row[0], nil
}

// proveAlone verifies that a pooler does not give the session of c to other clients while c is
// idle. It opens a transaction on a second connection. A pooler that shares sessions would assign
// the session of c, which was used last, to the second connection, or move c to another session.
func (m *maker) proveAlone(ctx context.Context, c *pgconn.PgConn, s *made) error {
	probe, err := pgconn.ConnectConfig(ctx, m.cfg)
	if err != nil {
		return fmt.Errorf("connect a second time to test the pooler: %w", err)
	}
	defer func() { _ = probe.Close(context.WithoutCancel(ctx)) }() // no longer needed
	if _, err := probe.Exec(ctx, "begin").ReadAll(); err != nil {
		return shared("begin: " + err.Error())
	}
	row, err := ask(ctx, probe, "select current_setting('"+mark+"', true)")
	if err != nil {
		return fmt.Errorf("test the pooler: %w", err)
	}
	if row[0] != "" {
		return shared("a second client got a session that is in use")
	}
	if _, err := s.check(ctx, c); err != nil {
		return err
	}
	m.alone.Store(true)
	return nil
}

func wrongEncoding(encoding string) error {
	return &Error{
		Reason: "has a database whose encoding is not UTF8: create one with ENCODING 'UTF8'", Refused: true,
		Err: fmt.Errorf("the encoding is %s", encoding),
	}
}

func shared(why string) error {
	return &Error{
		Reason:  "is behind a pooler that shares sessions between clients: configure session pooling with a session reset (DISCARD ALL)",
		Refused: true, Err: errors.New(why),
	}
}

// ask returns the only row of a query, as text; NULL becomes "".
func ask(ctx context.Context, c *pgconn.PgConn, query string, args ...string) ([]string, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	result := c.ExecParams(ctx, query, params, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if len(result.Rows) != 1 {
		return nil, fmt.Errorf("%d rows instead of 1", len(result.Rows))
	}
	row := make([]string, len(result.Rows[0]))
	for i, column := range result.Rows[0] {
		row[i] = string(column)
	}
	return row, nil
}
