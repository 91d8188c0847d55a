package client

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
)

// Token is an access token. Expires may be zero: not known.
type Token struct {
	Access  string
	Expires time.Time
}

// TokenSource gives access tokens. It is called from several goroutines.
type TokenSource interface {
	// Token returns a token that is good for a while, but not rejected, which the server has not taken or
	// will not take for much longer. An *Error that no later try can mend ends Run.
	Token(ctx context.Context, rejected string) (Token, error)
}

// StaticToken is an access token that nobody renews.
type StaticToken string

// Token implements TokenSource.
func (t StaticToken) Token(_ context.Context, rejected string) (Token, error) {
	if string(t) == rejected {
		return Token{}, apierr.New(apierr.Unauthenticated, "the token has expired, and there is no other")
	}
	return Token{Access: string(t)}, nil
}

// renewAhead is how long before its end a token is renewed, at most; a short one after two thirds.
const renewAhead = time.Minute

// Credentials are those of a session, to be kept between runs of a program. Each refresh token is good
// once, so the newest is to be kept.
type Credentials struct {
	Access  string    `json:"access_token"`
	Expires time.Time `json:"expires"`
	Refresh string    `json:"refresh_token"`
	Device  string    `json:"device_token,omitempty"` // for LogInAgain; it outlives the session
}

// Session is one login. It is a TokenSource that renews its access token with the refresh token.
type Session struct {
	api *API // without tokens
	// Renewed, if not nil, is called with what is to be kept, before it is used. Set it before the Session
	// is used.
	Renewed func(Credentials)

	mu   sync.Mutex // held while renewing, so that one refresh serves all who wait
	now  func() time.Time
	user User
	held Credentials
	got  time.Time // when the access token came
}

// User is an account.
type User struct {
	ID       chat.UserID `json:"id"`
	Username string      `json:"username"`
}

type loggedIn struct {
	User    *User  `json:"user"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Device  string `json:"device_token"`
	Seconds int    `json:"expires_in"`
}

// SignUp makes an account at a server, http(s)://host, and logs in.
func SignUp(ctx context.Context, server, username, email, password string) (*Session, error) {
	return begin(ctx, server, "/v1/signup", map[string]string{"username": username, "email": email, "password": password, "session": "bearer"})
}

// LogIn begins a session of an account. login is the username or the address.
func LogIn(ctx context.Context, server, login, password string) (*Session, error) {
	return begin(ctx, server, "/v1/login", map[string]string{"login": login, "password": password, "session": "bearer"})
}

// LogInAgain is LogIn on a device that has logged in before: wrong passwords from elsewhere do not keep it
// out. kept are the Credentials of an earlier session, even of one that has ended.
func LogInAgain(ctx context.Context, server, login, password string, kept Credentials) (*Session, error) {
	return begin(ctx, server, "/v1/login", map[string]string{"login": login, "password": password, "session": "bearer", "device_token": kept.Device})
}

// Resume goes on with a session that was kept.
func Resume(server string, kept Credentials) (*Session, error) {
	api, err := NewAPI(server, nil, nil)
	if err != nil {
		return nil, err
	}
	return &Session{api: api, now: time.Now, held: kept}, nil
}

func begin(ctx context.Context, server, path string, body any) (*Session, error) {
	s, err := Resume(server, Credentials{})
	if err != nil {
		return nil, err
	}
	var in loggedIn
	if err := s.api.call(ctx, http.MethodPost, path, body, &in); err != nil {
		return nil, err
	}
	s.take(in)
	return s, nil
}

func (s *Session) take(in loggedIn) {
	s.got = s.now()
	s.held = Credentials{
		Access: in.Access, Refresh: in.Refresh, Expires: s.got.Add(time.Duration(in.Seconds) * time.Second),
		Device: cmp.Or(in.Device, s.held.Device), // only a login gives another
	}
	if in.User != nil {
		s.user = *in.User
	}
}

// User returns who has logged in; zero after Resume, until the first renewal says so.
func (s *Session) User() User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// Credentials returns what is to be kept.
func (s *Session) Credentials() Credentials {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// Token implements TokenSource.
func (s *Session) Token(ctx context.Context, rejected string) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.Access != "" && s.held.Access != rejected && s.now().Before(s.held.Expires) {
		return Token{Access: s.held.Access, Expires: s.held.Expires}, nil
	}
	var in loggedIn
	if err := s.api.call(ctx, http.MethodPost, "/v1/refresh", map[string]string{"refresh_token": s.held.Refresh}, &in); err != nil {
		return Token{}, err
	}
	s.take(in)
	if s.Renewed != nil {
		s.Renewed(s.held)
	}
	return Token{Access: s.held.Access, Expires: s.held.Expires}, nil
}

// ChangePassword ends all sessions of the user and goes on with a new one, whose tokens the Session has then. A
// Client connects again with them.
func (s *Session) ChangePassword(ctx context.Context, password, fresh string) error {
	if _, err := s.Token(ctx, ""); err != nil {
		return err
	}
	s.mu.Lock() // renewals wait
	defer s.mu.Unlock()
	api := &API{base: s.api.base, http: s.api.http, tokens: StaticToken(s.held.Access)}
	body := map[string]string{"password": password, "new_password": fresh, "device_token": s.held.Device}
	var in loggedIn
	if err := api.call(ctx, http.MethodPost, "/v1/me/password", body, &in); err != nil {
		return err
	}
	s.take(in)
	if s.Renewed != nil {
		s.Renewed(s.held)
	}
	return nil
}

// EndOtherSessions ends every session of the user except this one.
func (s *Session) EndOtherSessions(ctx context.Context) error {
	api := &API{base: s.api.base, http: s.api.http, tokens: s}
	return api.call(ctx, http.MethodDelete, "/v1/sessions", nil, nil)
}

// LogOut ends the session; its sockets are closed.
func (s *Session) LogOut(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api.call(ctx, http.MethodPost, "/v1/logout", map[string]string{"refresh_token": s.held.Refresh}, nil)
}

// renewIn is how long to wait before a token is renewed. Zero: it is not known when it ends.
func renewIn(t Token, now time.Time) time.Duration {
	if t.Expires.IsZero() {
		return 0
	}
	left := t.Expires.Sub(now)
	return max(left-min(renewAhead, left/3), time.Second)
}
