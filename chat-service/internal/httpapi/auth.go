package httpapi

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"parley.chat/internal/platform/browser"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
)

const userKey = "parley.user"

// UserOf returns the claims of the user who sent the request. ctx must be a handler's context, and
// the endpoint must require a login.
func UserOf(ctx context.Context) token.Claims {
	user, ok := userOf(Exchange(ctx))
	if !ok {
		panic("httpapi: UserOf called at an endpoint that does not require a login")
	}
	return user
}

func userOf(c echo.Context) (token.Claims, bool) {
	user, ok := c.Get(userKey).(token.Claims)
	return user, ok
}

// Authenticate returns the claims of the user who sent the request. It prefers the cookie to the
// Authorization header, as the gateway does. For a write, the cookie is accepted only from one of
// our own pages.
func (a *API) Authenticate(c echo.Context) (token.Claims, error) {
	raw, byCookie, err := browser.AccessToken(c.Request())
	if err != nil {
		return token.Claims{}, twoCookies(err)
	}
	if raw == "" {
		return token.Claims{}, apierr.New(apierr.Unauthenticated, "This operation requires a login. Send the access token as a cookie or as a bearer token.")
	}
	if byCookie {
		if err := a.CheckOrigin(c); err != nil {
			return token.Claims{}, err
		}
	}
	ctx := c.Request().Context()
	user, err := a.cfg.Verifier.Verify(ctx, raw)
	if errors.Is(err, token.ErrNotYet) {
		a.clock.Failed(ctx, "", err)
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "The access token is not valid yet because the clocks of two servers differ. Please try again.")
	}
	a.clock.Worked(ctx, "")
	switch {
	case errors.Is(err, token.ErrExpired):
		return token.Claims{}, apierr.Wrap(err, apierr.Unauthenticated, "The access token has expired. Refresh the session.")
	case errors.Is(err, token.ErrInvalid):
		return token.Claims{}, apierr.Wrap(err, apierr.Unauthenticated, "The access token is not valid.")
	case err != nil:
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "The access token cannot be verified at the moment.")
	}
	ended, err := a.cfg.Ended(ctx, user.UserID, user.SessionID)
	switch {
	case err != nil:
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "The session cannot be checked at the moment.")
	case ended:
		return token.Claims{}, apierr.New(apierr.Unauthenticated, "This session has ended.")
	}
	return user, nil
}

// twoCookies returns the error for a request that has two cookies with the same name.
func twoCookies(err error) error {
	return apierr.Wrap(err, apierr.Unauthenticated, "The request has two cookies with the same name. Delete this site's cookies and log in again.")
}

// ByCookie reports whether a request sends its access token as a cookie.
func ByCookie(c echo.Context) bool {
	_, byCookie, err := browser.AccessToken(c.Request())
	return byCookie && err == nil
}

// CheckOrigin refuses a write that a browser sends on behalf of a page from another origin. It
// accepts all reads. It also accepts requests without Origin and Sec-Fetch-Site headers, because
// they do not come from a browser.
func (a *API) CheckOrigin(c echo.Context) error {
	if err := a.guard.CheckRequest(c.Request()); err != nil {
		return apierr.Wrap(err, apierr.ForeignOrigin, "Pages from this origin are not allowed to use this API.")
	}
	return nil
}
