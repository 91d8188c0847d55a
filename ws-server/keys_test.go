package wsserver_test

import (
	"testing"
	"time"

	wsserver "parley.chat/ws-server"

	"parley.chat/internal/devkit/testkit/wstest"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/chat"
)

// A gateway that cannot reach chat-service uses the public keys stored in PostgreSQL. It must not
// trust keys in Redis, or a token that is valid for years.
func TestKeys_areReadFromPostgreSQLWithoutChatService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ann := w.person("ann")
	w.channel(chat.Public, ann)
	w.exec("insert into token_keys (kid, public_key) values ($1, $2)", w.key.ID, []byte(w.key.Public()))
	forged, err := token.NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	forged.ID += "-forged"
	set := token.EncodeJWKS(token.StaticKeys{forged.ID: forged.Public()})
	if err := w.rdb.Set(t.Context(), "parley:jwks", set, 0).Err(); err != nil {
		t.Fatal(err)
	}
	w.keys = nil
	url, _ := w.gateway(func(cfg *wsserver.Config) { cfg.JWKSURL = "http://127.0.0.1:1/jwks.json" })

	claims := token.Claims{UserID: ann.ID, SessionID: ann.Session, Username: ann.Name}
	raw, _, err := token.NewIssuer(forged, 15*time.Minute).Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	// The code is not 4501, because chat-service may have a key that is newer than the stored ones.
	if code, why := wstest.Dial(t, url+"/ws", raw).AwaitClose(t); code != 4000 {
		t.Errorf("a token of the key in Redis: closed with %d %q, want 4000", code, why)
	}
	w.connect(url, ann)
	raw, _, err = token.NewIssuer(w.key, 28*365*24*time.Hour).Issue(claims)
	if err != nil {
		t.Fatal(err)
	}
	if code, why := wstest.Dial(t, url+"/ws", raw).AwaitClose(t); code != 4501 {
		t.Errorf("a token for 28 years: closed with %d %q, want 4501", code, why)
	}
}
