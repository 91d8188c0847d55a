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

// Token is an access token. If Expires is zero, the expiry is unknown.
type Token struct {
	Access  string
	Expires time.Time
}

// TokenSource provides access tokens. It is called from several goroutines.
type TokenSource interface {
	// Token returns a token that is valid and will not expire soon. rejected is a token that the
	// server has refused or will soon refuse; Token must not return it. If Token returns an *Error
	// that is not retryable, Run ends with that error.
	Token(ctx context.Context, rejected string) (Token, error)
}

// StaticToken is an access token that is never renewed.
type StaticToken string

// Token implements TokenSource.
func (t StaticToken) Token(_ context.Context, rejected string) (Token, error) {
	if string(t) == rejected {
		return Token{}, apierr.New(apierr.Unauthenticated, "The access token has expired and cannot be renewed.")
	}
	return Token{Access: string(t)}, nil
}

// renewAhead is the time before a token's expiry at which the token is renewed. A short-lived token
// is renewed after two thirds of its lifetime.
const renewAhead = time.Minute

// Credentials are a session's tokens. A program can store them to resume the session later. Each
// refresh token can be used only once, so the program must store the newest one.
type Credentials struct {
	Access  string    `json:"access_token"`
	Expires time.Time `json:"expires"`
	Refresh string    `json:"refresh_token"`
	Device  string    `json:"device_token,omitempty"` // for LogInAgain; it outlives the session
}

// Session is a TokenSource for one login. It renews its access token with its refresh token.
type Session struct {
	api *API // makes requests without a token
	// Renewed, if not nil, is called with the new credentials before they are used, so that they
	// can be stored. Set it before using the Session.
	Renewed func(Credentials)

	mu   sync.Mutex // held during a renewal, so that all waiting callers share a single renewal
	now  func() time.Time
	user User
	held Credentials
	got  time.Time // when the access token was received
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

// SignUp creates an account on the server at http(s)://host and logs in.
func SignUp(ctx context.Context, server, username, email, password string) (*Session, error) {
	return startSession(ctx, server, "/v1/signup", map[string]string{"username": username, "email": email, "password": password, "session": "bearer"})
}

// LogIn logs in to an account and starts a session. login is the username or the email address.
func LogIn(ctx context.Context, server, login, password string) (*Session, error) {
	return startSession(ctx, server, "/v1/login", map[string]string{"login": login, "password": password, "session": "bearer"})
}

// LogInAgain is like LogIn for a device that has logged in before. Wrong passwords entered on other
// devices do not lock it out. kept holds the credentials of an earlier session, which may have
// ended.
func LogInAgain(ctx context.Context, server, login, password string, kept Credentials) (*Session, error) {
	return startSession(ctx, server, "/v1/login", map[string]string{"login": login, "password": password, "session": "bearer", "device_token": kept.Device})
}

// Resume continues a stored session.
func Resume(server string, kept Credentials) (*Session, error) {
	api, err := NewAPI(server, nil, nil)
	if err != nil {
		return nil, err
	}
	return &Session{api: api, now: time.Now, held: kept}, nil
}

func startSession(ctx context.Context, server, path string, body any) (*Session, error) {
	s, err := Resume(server, Credentials{})
	if err != nil {
		return nil, err
	}
	var in loggedIn
	if err := s.api.call(ctx, http.MethodPost, path, body, &in); err != nil {
		return nil, err
	}
	s.store(in)
	return s, nil
}

func (s *Session) store(in loggedIn) {
	s.got = s.now()
	s.held = Credentials{
		Access: in.Access, Refresh: in.Refresh, Expires: s.got.Add(time.Duration(in.Seconds) * time.Second),
		Device: cmp.Or(in.Device, s.held.Device), // only a login returns a new device token
	}
	if in.User != nil {
		s.user = *in.User
	}
}

// User returns the account that is logged in. After Resume, User returns zero until the first
// renewal.
func (s *Session) User() User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// Credentials returns the current credentials, for storage.
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
	s.store(in)
	if s.Renewed != nil {
		s.Renewed(s.held)
	}
	return Token{Access: s.held.Access, Expires: s.held.Expires}, nil
}

// ChangePassword changes the password, which ends all of the user's sessions, and starts a new
// session. The Session then uses the new tokens, and a Client reconnects with them.
func (s *Session) ChangePassword(ctx context.Context, password, fresh string) error {
	if _, err := s.Token(ctx, ""); err != nil {
		return err
	}
	s.mu.Lock() // blocks renewals
	defer s.mu.Unlock()
	api := &API{base: s.api.base, http: s.api.http, tokens: StaticToken(s.held.Access)}
	body := map[string]string{"password": password, "new_password": fresh, "device_token": s.held.Device}
	var in loggedIn
	if err := api.call(ctx, http.MethodPost, "/v1/me/password", body, &in); err != nil {
		return err
	}
	s.store(in)
	if s.Renewed != nil {
		s.Renewed(s.held)
	}
	return nil
}

// EndOtherSessions ends all of the user's sessions except this one.
func (s *Session) EndOtherSessions(ctx context.Context) error {
	api := &API{base: s.api.base, http: s.api.http, tokens: s}
	return api.call(ctx, http.MethodDelete, "/v1/sessions", nil, nil)
}

// LogOut ends the session. The server closes the session's WebSockets.
func (s *Session) LogOut(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.api.call(ctx, http.MethodPost, "/v1/logout", map[string]string{"refresh_token": s.held.Refresh}, nil)
}

// renewIn returns the time to wait before renewing a token, or zero if its expiry is unknown.
func renewIn(t Token, now time.Time) time.Duration {
	if t.Expires.IsZero() {
		return 0
	}
	left := t.Expires.Sub(now)
	return max(left-min(renewAhead, left/3), time.Second)
}
