package httpapi

import (
	"context"
	"errors"

	"github.com/labstack/echo/v4"

	"parley.chat/internal/browser"
	"parley.chat/internal/token"
	"parley.chat/shared-contracts/apierr"
)

const userKey = "parley.user"

// UserOf returns who is asking, by the context of the handler of an endpoint that needs a login.
func UserOf(ctx context.Context) token.Claims {
	user, ok := userOf(Exchange(ctx))
	if !ok {
		panic("httpapi: UserOf at an endpoint that is not private")
	}
	return user
}

func userOf(c echo.Context) (token.Claims, bool) {
	user, ok := c.Get(userKey).(token.Claims)
	return user, ok
}

// Authenticate returns who is asking, or why that cannot be known. The cookie comes before the header,
// as it does at the gateway; a cookie counts for a write from one of our own pages only.
func (a *API) Authenticate(c echo.Context) (token.Claims, error) {
	raw, byCookie, err := browser.AccessToken(c.Request())
	if err != nil {
		return token.Claims{}, twoCookies(err)
	}
	if raw == "" {
		return token.Claims{}, apierr.New(apierr.Unauthenticated, "this needs a login: send the access token as cookie or bearer")
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
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "the access token is not valid yet, as the clocks of two servers differ: try again")
	}
	a.clock.Worked(ctx, "")
	switch {
	case errors.Is(err, token.ErrExpired):
		return token.Claims{}, apierr.Wrap(err, apierr.Unauthenticated, "the access token has expired: refresh it")
	case errors.Is(err, token.ErrInvalid):
		return token.Claims{}, apierr.Wrap(err, apierr.Unauthenticated, "the access token is not valid")
	case err != nil:
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "the access token cannot be verified now")
	}
	ended, err := a.cfg.Ended(ctx, user.UserID, user.SessionID)
	switch {
	case err != nil:
		return token.Claims{}, apierr.Wrap(err, apierr.Unavailable, "the session cannot be checked now")
	case ended:
		return token.Claims{}, apierr.New(apierr.Unauthenticated, "this session has ended")
	}
	return user, nil
}

// twoCookies is the answer to a request with two cookies of one name.
func twoCookies(err error) error {
	return apierr.Wrap(err, apierr.Unauthenticated, "two cookies of one name were sent: delete the cookies of this site, then log in")
}

// ByCookie reports whether a request to an endpoint that needs a login shows its access token as a cookie.
func ByCookie(c echo.Context) bool {
	_, byCookie, err := browser.AccessToken(c.Request())
	return byCookie && err == nil
}

// CheckOrigin refuses a write that a page of another origin has made a browser send. Requests without
// Origin and Sec-Fetch-Site come from no browser, and reads pass.
func (a *API) CheckOrigin(c echo.Context) error {
	if err := a.guard.CheckRequest(c.Request()); err != nil {
		return apierr.Wrap(err, apierr.ForeignOrigin, "pages of this origin may not do this")
	}
	return nil
}
