package account

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/httpapi"
)

// SignUp handles POST /v1/signup.
func (s *Service) SignUp(ctx context.Context, in api.SignUpRequestObject) (api.SignUpResponseObject, error) {
	c := httpapi.Exchange(ctx)
	u, t, err := s.signup(ctx, in.Body.Username, in.Body.Email, in.Body.Password, s.device(c, in.Body.DeviceToken))
	if err != nil {
		return nil, err
	}
	return s.loggedIn(c, http.StatusCreated, u, t, inBody(in.Body.Session)), nil
}

// LogIn handles POST /v1/login.
func (s *Service) LogIn(ctx context.Context, in api.LogInRequestObject) (api.LogInResponseObject, error) {
	c := httpapi.Exchange(ctx)
	u, t, err := s.login(ctx, in.Body.Login, in.Body.Password, s.device(c, in.Body.DeviceToken))
	if err != nil {
		return nil, err
	}
	return s.loggedIn(c, http.StatusOK, u, t, inBody(in.Body.Session)), nil
}

// RefreshSession handles POST /v1/refresh.
func (s *Service) RefreshSession(ctx context.Context, in api.RefreshSessionRequestObject) (api.RefreshSessionResponseObject, error) {
	c := httpapi.Exchange(ctx)
	raw, inBody, err := refreshToken(c, in.Body)
	if err != nil {
		return nil, err
	}
	if raw == "" {
		return nil, apierr.New(apierr.Unauthenticated, "This operation requires a refresh token, as a cookie or in the body.")
	}
	t, err := s.refresh(ctx, raw)
	if err != nil {
		if !inBody && apierr.CodeOf(err) == apierr.Unauthenticated {
			s.cfg.API.ClearCookies(c) // they will never be valid again
		}
		return nil, err
	}
	return s.loggedIn(c, http.StatusOK, nil, t, inBody), nil
}

// LogOut handles POST /v1/logout. It ends the session of the access token. If that token is not
// valid, it ends the session of the refresh token, so that a page can still log out after its
// access token has expired. It always clears the cookies.
func (s *Service) LogOut(ctx context.Context, in api.LogOutRequestObject) (api.LogOutResponseObject, error) {
	c := httpapi.Exchange(ctx)
	raw, _, _ := refreshToken(c, in.Body) // if there are two refresh cookies, both are ignored
	user, authErr := s.cfg.API.Authenticate(c)
	owner, id := user.UserID, user.SessionID
	if authErr != nil && raw != "" {
		var err error
		if owner, id, err = s.ownerOf(ctx, raw); err != nil {
			return nil, err
		}
	}
	s.cfg.API.ClearCookies(c)
	if id.IsZero() {
		return nil, authErr
	}
	if _, err := s.revoke(ctx, owner, id); err != nil {
		return nil, err
	}
	return api.LogOut204Response{}, nil
}

// ListSessions handles GET /v1/sessions.
func (s *Service) ListSessions(ctx context.Context, _ api.ListSessionsRequestObject) (api.ListSessionsResponseObject, error) {
	user := httpapi.UserOf(ctx)
	rows, err := s.sessions(ctx, user.UserID, user.SessionID)
	if err != nil {
		return nil, err
	}
	page := api.ListSessions200JSONResponse{Items: make([]api.Session, len(rows))}
	for i, r := range rows {
		page.Items[i] = api.Session{
			ID: r.ID, UserAgent: r.UserAgent, Address: r.Address, CreatedAt: chat.At(r.CreatedAt),
			LastUsedAt: chat.At(r.LastUsedAt), ExpiresAt: chat.At(r.ExpiresAt), Current: r.ID == user.SessionID,
		}
	}
	return page, nil
}

// RevokeOtherSessions handles DELETE /v1/sessions.
func (s *Service) RevokeOtherSessions(ctx context.Context, _ api.RevokeOtherSessionsRequestObject) (api.RevokeOtherSessionsResponseObject, error) {
	if err := s.endOthers(ctx, httpapi.UserOf(ctx)); err != nil {
		return nil, err
	}
	return api.RevokeOtherSessions204Response{}, nil
}

// RevokeSession handles DELETE /v1/sessions/{id}.
func (s *Service) RevokeSession(ctx context.Context, in api.RevokeSessionRequestObject) (api.RevokeSessionResponseObject, error) {
	user := httpapi.UserOf(ctx)
	found, err := s.revoke(ctx, user.UserID, in.ID)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, apierr.New(apierr.NotFound, "This session does not exist.")
	}
	if in.ID == user.SessionID {
		s.cfg.API.ClearCookies(httpapi.Exchange(ctx))
	}
	return api.RevokeSession204Response{}, nil
}

// GetMe handles GET /v1/me.
func (s *Service) GetMe(ctx context.Context, _ api.GetMeRequestObject) (api.GetMeResponseObject, error) {
	u, err := s.load(ctx, httpapi.UserOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	return api.GetMe200JSONResponse{MeAnswerJSONResponse: api.MeAnswerJSONResponse(s.me(u))}, nil
}

// UpdateMe handles PATCH /v1/me.
func (s *Service) UpdateMe(ctx context.Context, in api.UpdateMeRequestObject) (api.UpdateMeResponseObject, error) {
	u, err := s.update(ctx, httpapi.UserOf(ctx).UserID, *in.Body)
	if err != nil {
		return nil, err
	}
	return api.UpdateMe200JSONResponse{MeAnswerJSONResponse: api.MeAnswerJSONResponse(s.me(u))}, nil
}

// ChangePassword handles POST /v1/me/password.
func (s *Service) ChangePassword(ctx context.Context, in api.ChangePasswordRequestObject) (api.ChangePasswordResponseObject, error) {
	c := httpapi.Exchange(ctx)
	u, t, err := s.changePassword(ctx, httpapi.UserOf(ctx), in.Body.Password, in.Body.NewPassword, s.device(c, in.Body.DeviceToken))
	if err != nil {
		return nil, err
	}
	return s.loggedIn(c, http.StatusOK, u, t, !httpapi.ByCookie(c)), nil
}

// DeleteMe handles DELETE /v1/me.
func (s *Service) DeleteMe(ctx context.Context, in api.DeleteMeRequestObject) (api.DeleteMeResponseObject, error) {
	c := httpapi.Exchange(ctx)
	if err := s.delete(ctx, httpapi.UserOf(ctx), in.Body.Password, s.device(c, nil)); err != nil {
		return nil, err
	}
	s.cfg.API.ClearCookies(c)
	return api.DeleteMe204Response{}, nil
}

// inBody reports whether the tokens are sent in the body instead of in cookies.
func inBody(mode *api.SessionMode) bool { return mode != nil && *mode == api.SessionModeBearer }

// refreshToken returns the refresh token from the body or, if the body contains none, from the
// cookie. Clients without cookies send it in the body.
func refreshToken(c echo.Context, body *api.RefreshToken) (raw string, inBody bool, err error) {
	if body != nil && body.RefreshToken != nil && *body.RefreshToken != "" {
		return *body.RefreshToken, true, nil
	}
	raw, err = httpapi.RefreshCookie(c)
	return raw, false, err
}

// loggedIn is a response that carries tokens. It is hand-written because the generated responses
// support only one Set-Cookie header.
type loggedIn struct {
	status int
	body   api.LoggedIn
}

func (s *Service) loggedIn(c echo.Context, status int, u *user, t tokens, inBody bool) loggedIn {
	out := api.LoggedIn{ExpiresIn: max(0, int(time.Until(t.expires).Round(time.Second).Seconds()))}
	if u != nil {
		out.User = new(s.me(u))
	}
	if inBody { // in a cookie session, a page's scripts must not be able to read the tokens
		out.AccessToken, out.RefreshToken = &t.access, &t.refresh
		if t.device != "" {
			out.DeviceToken = &t.device
		}
	} else {
		s.cfg.API.SetCookies(c, t.access, out.ExpiresIn, t.refresh, int(s.cfg.RefreshTTL.Seconds()))
		if t.device != "" {
			s.cfg.API.SetDeviceCookie(c, t.device, int(deviceTTL.Seconds()))
		}
	}
	return loggedIn{status, out}
}

func (l loggedIn) write(w http.ResponseWriter) error {
	b, err := json.Marshal(l.body)
	if err != nil {
		return fmt.Errorf("encode the tokens: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(l.status)
	_, err = w.Write(b)
	return err
}

// VisitSignUpResponse writes the response.
func (l loggedIn) VisitSignUpResponse(w http.ResponseWriter) error { return l.write(w) }

// VisitLogInResponse writes the response.
func (l loggedIn) VisitLogInResponse(w http.ResponseWriter) error { return l.write(w) }

// VisitChangePasswordResponse writes the response.
func (l loggedIn) VisitChangePasswordResponse(w http.ResponseWriter) error { return l.write(w) }

// VisitRefreshSessionResponse writes the response.
func (l loggedIn) VisitRefreshSessionResponse(w http.ResponseWriter) error { return l.write(w) }

const maxUserAgentChars = 200

// device returns the device that sent the request. proof is the device token from a client that
// does not use cookies. Control characters and invalid UTF-8 are removed from the user agent,
// because PostgreSQL and pages cannot represent them.
func (s *Service) device(c echo.Context, proof *string) device {
	agent := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, strings.ToValidUTF8(c.Request().UserAgent(), ""))
	if runes := []rune(agent); len(runes) > maxUserAgentChars {
		agent = string(runes[:maxUserAgentChars])
	}
	raw := httpapi.DeviceCookie(c)
	if proof != nil && *proof != "" {
		raw = *proof
	}
	return device{userAgent: agent, address: s.cfg.API.Client(c).Addr, proof: hashDevice(raw)}
}
