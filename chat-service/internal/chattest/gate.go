package chattest

import "github.com/jackc/pgx/v5/pgxpool"

// Gate blocks transactions that insert into a table until a test lets them continue. The blocked
// transactions keep their locks.
type Gate struct {
	w    *World
	conn *pgxpool.Conn
}

// Gate returns an open gate for inserts into a table.
func (w *World) Gate(table string) *Gate {
	w.T.Helper()
	w.Exec(`create function pass_gate() returns trigger language plpgsql as
		$$ begin perform pg_advisory_xact_lock_shared(1); return new; end $$`)
	w.Exec("create trigger gate before insert on " + table + " for each row execute function pass_gate()")
	conn, err := w.Pool.Acquire(w.T.Context())
	if err != nil {
		w.T.Fatal(err)
	}
	w.T.Cleanup(conn.Release)
	return &Gate{w, conn}
}

// Close closes the gate. Transactions that then insert into the table block until the gate is
// opened.
func (g *Gate) Close() { g.exec("select pg_advisory_lock(1)") }

// Open opens the gate for all transactions.
func (g *Gate) Open() { g.exec("select pg_advisory_unlock(1)") }

func (g *Gate) exec(sql string) {
	g.w.T.Helper()
	if _, err := g.conn.Exec(g.w.T.Context(), sql); err != nil {
		g.w.T.Fatal(err)
	}
}
