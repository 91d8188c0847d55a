package account

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/httpapi"
)

func (s *Service) register() {
	api := s.cfg.API
	api.Public(http.MethodPost, "/v1/signup", s.handleSignup)
	api.Public(http.MethodPost, "/v1/login", s.handleLogin)
	api.Public(http.MethodPost, "/v1/refresh", s.handleRefresh)
	api.Public(http.MethodPost, "/v1/logout", s.handleLogout)
	api.Private(http.MethodGet, "/v1/sessions", s.handleSessions)
	api.Private(http.MethodDelete, "/v1/sessions/:id", s.handleRevoke)
	api.Private(http.MethodGet, "/v1/me", s.handleMe)
	api.Private(http.MethodPatch, "/v1/me", s.handlePatchMe)
}

// loginAnswer is the answer to signup, login and refresh.
type loginAnswer struct {
	User         *Me    `json:"user,omitempty"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"` // bearer alone: scripts of a page must not see it
	ExpiresIn    int    `json:"expires_in"`
}

// bearer is the word for a session without cookies.
const bearer = "bearer"

// mode reads the field session: whether the tokens go into cookies or into the body.
func mode(session string) (inBody bool, err error) {
	switch session {
	case "", "cookie":
		return false, nil
	case bearer:
		return true, nil
	}
	return false, apierr.Invalid("session", `must be "cookie" or "bearer"`)
}

func (s *Service) handleSignup(c echo.Context) error {
	var in struct {
		Username string `json:"username"`
		Email    string `json:"email"`
		Password string `json:"password"`
		Session  string `json:"session"`
	}
	if err := s.cfg.API.CheckOrigin(c); err != nil {
		return err
	}
	if err := httpapi.Decode(c, &in); err != nil {
		return err
	}
	inBody, err := mode(in.Session)
	if err != nil {
		return err
	}
	u, t, err := s.signup(c.Request().Context(), in.Username, in.Email, in.Password, s.device(c))
	if err != nil {
		return err
	}
	return s.answer(c, http.StatusCreated, u, t, inBody)
}

func (s *Service) handleLogin(c echo.Context) error {
	var in struct {
		Login    string `json:"login"`
		Password string `json:"password"`
		Session  string `json:"session"`
	}
	// A forged login would make a victim write as somebody else.
	if err := s.cfg.API.CheckOrigin(c); err != nil {
		return err
	}
	if err := httpapi.Decode(c, &in); err != nil {
		return err
	}
	inBody, err := mode(in.Session)
	if err != nil {
		return err
	}
	var missing []apierr.Field
	if in.Login == "" {
		missing = append(missing, apierr.Field{Field: "login", Message: "is required: a username or an email address"})
	}
	if in.Password == "" {
		missing = append(missing, apierr.Field{Field: "password", Message: "is required"})
	}
	if err := invalid(missing); err != nil {
		return err
	}
	u, t, err := s.login(c.Request().Context(), in.Login, in.Password, s.device(c))
	if err != nil {
		return err
	}
	return s.answer(c, http.StatusOK, u, t, inBody)
}

// refreshToken takes the token from the body, which a client without cookies sends, or the cookie.
func refreshToken(c echo.Context) (raw string, inBody bool, err error) {
	var in struct {
		RefreshToken string `json:"refresh_token"`
	}
	if err := httpapi.DecodeOptional(c, &in); err != nil {
		return "", false, err
	}
	if in.RefreshToken != "" {
		return in.RefreshToken, true, nil
	}
	return httpapi.RefreshCookie(c), false, nil
}

func (s *Service) handleRefresh(c echo.Context) error {
	if err := s.cfg.API.CheckOrigin(c); err != nil {
		return err
	}
	raw, inBody, err := refreshToken(c)
	if err != nil {
		return err
	}
	if raw == "" {
		return apierr.New(apierr.Unauthenticated, "this needs a refresh token, as cookie or in the body")
	}
	t, err := s.refresh(c.Request().Context(), raw)
	if err != nil {
		if !inBody && apierr.CodeOf(err) == apierr.Unauthenticated {
			s.cfg.API.ClearCookies(c) // they will never be good again
		}
		return err
	}
	return s.answer(c, http.StatusOK, nil, t, inBody)
}

// handleLogout ends the session of the access token, or else of the refresh token: a page that comes
// back after an hour can still log out. Cookies are cleared whatever they were worth.
func (s *Service) handleLogout(c echo.Context) error {
	if err := s.cfg.API.CheckOrigin(c); err != nil {
		return err
	}
	raw, _, err := refreshToken(c)
	if err != nil {
		return err
	}
	user, authErr := s.cfg.API.Authenticate(c)
	owner, id := user.UserID, user.SessionID
	if authErr != nil && raw != "" {
		if owner, id, err = s.ownerOf(c.Request().Context(), raw); err != nil {
			return err
		}
	}
	s.cfg.API.ClearCookies(c)
	if id.IsZero() {
		return authErr
	}
	if _, err := s.revoke(c.Request().Context(), owner, id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// sessionView is a session as its user sees it.
type sessionView struct {
	ID         chat.SessionID `json:"id"`
	UserAgent  string         `json:"user_agent"`
	Address    string         `json:"address"`
	CreatedAt  chat.Time      `json:"created_at"`
	LastUsedAt chat.Time      `json:"last_used_at"`
	ExpiresAt  chat.Time      `json:"expires_at"`
	Current    bool           `json:"current"`
}

func (s *Service) handleSessions(c echo.Context) error {
	user := httpapi.UserOf(c)
	rows, err := s.sessions(c.Request().Context(), user.UserID)
	if err != nil {
		return err
	}
	page := httpapi.Page[sessionView]{Items: make([]sessionView, len(rows))}
	for i, r := range rows {
		page.Items[i] = sessionView{
			ID: r.ID, UserAgent: r.UserAgent, Address: r.Address, CreatedAt: chat.At(r.CreatedAt),
			LastUsedAt: chat.At(r.LastUsedAt), ExpiresAt: chat.At(r.ExpiresAt), Current: r.ID == user.SessionID,
		}
	}
	return c.JSON(http.StatusOK, page)
}

func (s *Service) handleRevoke(c echo.Context) error {
	id, err := chat.ParseSessionID(c.Param("id"))
	if err != nil {
		return apierr.Wrap(err, apierr.NotFound, "no such session")
	}
	user := httpapi.UserOf(c)
	found, err := s.revoke(c.Request().Context(), user.UserID, id)
	if err != nil {
		return err
	}
	if !found {
		return apierr.New(apierr.NotFound, "no such session")
	}
	if id == user.SessionID {
		s.cfg.API.ClearCookies(c)
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Service) handleMe(c echo.Context) error {
	u, err := s.load(c.Request().Context(), httpapi.UserOf(c).UserID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, u.me())
}

func (s *Service) handlePatchMe(c echo.Context) error {
	var in patch
	if err := httpapi.Decode(c, &in); err != nil {
		return err
	}
	u, err := s.update(c.Request().Context(), httpapi.UserOf(c).UserID, in)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, u.me())
}

// answer hands out a pair of tokens.
func (s *Service) answer(c echo.Context, status int, u *user, t tokens, inBody bool) error {
	out := loginAnswer{AccessToken: t.access, ExpiresIn: max(0, int(time.Until(t.expires).Round(time.Second).Seconds()))}
	if u != nil {
		me := u.me()
		out.User = &me
	}
	if inBody {
		out.RefreshToken = t.refresh
	} else {
		s.cfg.API.SetCookies(c, t.access, out.ExpiresIn, t.refresh, int(s.cfg.RefreshTTL.Seconds()))
	}
	return c.JSON(status, out)
}

const maxUserAgentChars = 200

// device says where a session is begun. A user agent is anybody's text: what PostgreSQL or a page could
// stumble over is taken out.
func (s *Service) device(c echo.Context) device {
	agent := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(c.Request().UserAgent(), ""))
	if runes := []rune(agent); len(runes) > maxUserAgentChars {
		agent = string(runes[:maxUserAgentChars])
	}
	d := device{userAgent: agent}
	if addr := s.cfg.API.Client(c).Addr; addr.IsValid() {
		d.address = addr.String()
	}
	return d
}
