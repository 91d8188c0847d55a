// Package pgsession makes every session of PostgreSQL what Parley needs, whatever the defaults of the
// server, the database and the login are, and checks that it is.
//
// Everything is set by statements after connecting and read back by a later statement: a pooler such as
// PgBouncer refuses or drops startup parameters. A session that cannot be what is needed is closed
// before anybody uses it, and the next host of DATABASE_URL is tried.
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

	"parley.chat/internal/databaseurl"
)

const (
	// connectWithin bounds a connection to one host, if DATABASE_URL has no connect_timeout.
	connectWithin = 5 * time.Second
	// idleWithin bounds how long a transaction may keep its locks while it does nothing, because its client is
	// gone and the server has not noticed.
	idleWithin = time.Minute
)

// Options are what sessions differ in.
type Options struct {
	Role             string        // "" keeps the login's
	StatementTimeout time.Duration // 0: none
	ApplicationName  string        // as pg_stat_activity shows it
}

// Prepare makes connections with cfg go through this package. Sessions that cannot write are refused: a
// target_session_attrs in DATABASE_URL changes nothing.
func Prepare(cfg *pgx.ConnConfig, o Options) {
	if o.ApplicationName != "" {
		cfg.RuntimeParams["application_name"] = o.ApplicationName
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectWithin)
	m := newMaker(cfg.Config.Copy(), o)
	cfg.ValidateConnect = m.make
	closes := cfg.OnPgError
	cfg.OnPgError = func(c *pgconn.PgConn, err *pgconn.PgError) bool {
		return !unusable(err) && (closes == nil || closes(c, err))
	}
}

// Connect opens one session on the database of a DATABASE_URL.
func Connect(ctx context.Context, url string, o Options) (*pgx.Conn, error) {
	cfg, err := databaseurl.Parse(url)
	if err != nil {
		return nil, err
	}
	Prepare(cfg, o)
	return pgx.ConnectConfig(ctx, cfg)
}

// unusable reports errors that tell of the session and not of the statement: it cannot write, or a pooler
// has put another in its place, whose prepared statements are different ones. Its connection is closed.
func unusable(err *pgconn.PgError) bool {
	switch err.Code {
	case "25006", // read_only_sql_transaction
		"26000", // invalid_sql_statement_name
		"42P05": // duplicate_prepared_statement
		return true
	}
	return false
}

// Error says why a session cannot be used.
type Error struct {
	Words   string // for everybody: it shows no name, no address and no text of a server
	Refused bool   // waiting does not help: somebody has to change the database or a pooler
	Err     error  // details for the log; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return "PostgreSQL " + e.Words
	}
	return "PostgreSQL " + e.Words + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ErrReadOnly is the error of a session that cannot write: of a standby, or by its settings.
var ErrReadOnly = &Error{Words: "is read-only"}

// setting is a setting with the value that PostgreSQL shows when it is in force.
type setting struct{ name, value string }

// settings are those on which our SQL, or its results, depend. standard_conforming_strings and
// client_encoding also keep arguments that are written into the text of a statement from ending a string.
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

// mark is a setting of ours that names a session. A client that finds one in its new session, or another
// than its own later, shares the session with others.
const mark = "parley.session"

// maker makes sessions of one configuration.
type maker struct {
	cfg    *pgconn.Config // connects without a maker
	role   string
	setup  string
	values []string // of setup's parameters; the mark's comes after them
	check  string

	alone atomic.Bool // a pooler was found not to share sessions
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
		setting{"idle_in_transaction_session_timeout", strconv.FormatInt(idleWithin.Milliseconds(), 10)},
		setting{"idle_session_timeout", "0"}, // the pool closes its idle connections itself
		setting{"lock_timeout", "0"},         // the statement's timeout bounds it
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

// made is what a session was made to be.
type made struct {
	by     *maker
	mark   string
	values []string // of the settings, as the server shows them
}

// madeKey is where a connection keeps its made.
const madeKey = "parley.chat/internal/pgsession"

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
		return shared("a new session had the mark of another client")
	}
	s.values = row[1:]
	for i, want := range settings {
		if s.values[i] != want.value {
			return &Error{Words: "does not accept the settings of a session", Refused: true, Err: fmt.Errorf("%s is %q, not %q", want.name, s.values[i], want.value)}
		}
	}
	c.CustomData()[madeKey] = s
	pid, err := s.look(ctx, c)
	if err != nil {
		return err
	}
	// A pooler has a process number of its own invention.
	if pid == strconv.FormatUint(uint64(c.PID()), 10) || m.alone.Load() {
		return nil
	}
	return m.proveAlone(ctx, c, s)
}

// notSetUp is the error of a setup that the server refused.
func (m *maker) notSetUp(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && m.role != "" && (e.Code == "22023" || e.Code == "42501") {
		return &Error{
			Words: "does not give the service its role: migrate up makes the roles, and the login must be granted them",
			Err:   fmt.Errorf("set role %s: %w", m.role, err),
		}
	}
	return fmt.Errorf("set up the session: %w", err)
}

// Check reports whether the session of c is still what it was made to be, and can write. It asks the
// server once.
func Check(ctx context.Context, c *pgconn.PgConn) error {
	s, ok := c.CustomData()[madeKey].(*made)
	if !ok {
		return errors.New("the session was not made by pgsession")
	}
	_, err := s.look(ctx, c)
	return err
}

// look is Check; it returns the number of the server's process.
func (s *made) look(ctx context.Context, c *pgconn.PgConn) (pid string, err error) {
	row, err := ask(ctx, c, s.by.check)
	if err != nil {
		return "", fmt.Errorf("check the session: %w", err)
	}
	user, encoding, readOnly, mark := row[1], row[2], row[3], row[4]
	switch {
	case encoding != "UTF8":
		return "", wrongEncoding(encoding)
	case mark != s.mark:
		return "", shared("the session is another than before")
	case s.by.role != "" && user != s.by.role:
		return "", &Error{Words: "does not keep the role of the service", Err: fmt.Errorf("the user is %s, not %s", user, s.by.role)}
	case readOnly == "t":
		return "", ErrReadOnly
	}
	for i, value := range row[5:] {
		if value != s.values[i] {
			return "", &Error{Words: "does not keep the settings of a session", Err: fmt.Errorf("setting %d is %q, not %q", i, value, s.values[i])}
		}
	}
	return row[0], nil
}

// proveAlone makes sure that a pooler does not give the session of c to others while c does nothing. It
// holds a transaction over a second connection: it would get the session of c, which was used last, or c
// would be moved to another.
func (m *maker) proveAlone(ctx context.Context, c *pgconn.PgConn, s *made) error {
	probe, err := pgconn.ConnectConfig(ctx, m.cfg)
	if err != nil {
		return fmt.Errorf("connect a second time, to learn how the pooler works: %w", err)
	}
	defer func() { _ = probe.Close(context.WithoutCancel(ctx)) }() // it is of no more use
	if _, err := probe.Exec(ctx, "begin").ReadAll(); err != nil {
		return shared("begin: " + err.Error())
	}
	row, err := ask(ctx, probe, "select current_setting('"+mark+"', true)")
	if err != nil {
		return fmt.Errorf("learn how the pooler works: %w", err)
	}
	if row[0] != "" {
		return shared("a second client got a session that is in use")
	}
	if _, err := s.look(ctx, c); err != nil {
		return err
	}
	m.alone.Store(true)
	return nil
}

func wrongEncoding(encoding string) error {
	return &Error{
		Words: "has a database whose encoding is not UTF8: create one with ENCODING 'UTF8'", Refused: true,
		Err: fmt.Errorf("the encoding is %s", encoding),
	}
}

func shared(why string) error {
	return &Error{
		Words:   "is behind a pooler that shares sessions between clients: set it to session pooling, with a reset of sessions (DISCARD ALL)",
		Refused: true, Err: errors.New(why),
	}
}

// ask returns the only row of a query, as text; a null is "".
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
