package channel

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/httpapi"
)

func (s *Service) register() {
	api := s.cfg.API
	api.Private(http.MethodPost, "/v1/channels", s.handleCreate)
	api.Private(http.MethodGet, "/v1/channels", s.handleList)
	api.Private(http.MethodGet, "/v1/channels/:id", s.handleGet)
	api.Private(http.MethodPost, "/v1/channels/:id/join", s.handleJoin)
	api.Private(http.MethodPost, "/v1/channels/:id/leave", s.handleLeave)
}

func (s *Service) handleCreate(c echo.Context) error {
	var in creation
	if err := httpapi.Decode(c, &in); err != nil {
		return err
	}
	sum, err := s.create(c.Request().Context(), httpapi.UserOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Location", "/v1/channels/"+sum.ID.String())
	return c.JSON(http.StatusCreated, sum)
}

func (s *Service) handleList(c echo.Context) error {
	l := listing{user: httpapi.UserOf(c).UserID}
	var err error
	if l.mine, err = httpapi.Flag(c, "mine"); err != nil {
		return err
	}
	if l.query, err = httpapi.Text(c, "query", chat.MaxChannelNameChars); err != nil {
		return err
	}
	if l.limit, err = httpapi.Limit(c); err != nil {
		return err
	}
	var after position
	given, err := httpapi.DecodeCursor(c, &after)
	if err != nil {
		return err
	}
	if given {
		if err := chat.CheckLine(after.Name, 4*chat.MaxChannelNameChars); err != nil {
			return apierr.Invalid("cursor", "is not one that we have given out")
		}
		l.after = &after
	}
	sums, next, err := s.list(c.Request().Context(), l)
	if err != nil {
		return err
	}
	page := httpapi.Page[Summary]{Items: sums}
	if next != nil {
		page.NextCursor = httpapi.Cursor(next)
	}
	return c.JSON(http.StatusOK, page)
}

func (s *Service) handleGet(c echo.Context) error {
	id, err := httpapi.ChannelID(c)
	if err != nil {
		return err
	}
	return s.answer(c, id)
}

// answer answers with a channel of the user's.
func (s *Service) answer(c echo.Context, id chat.ChannelID) error {
	sum, err := s.get(c.Request().Context(), id, httpapi.UserOf(c).UserID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, sum)
}

func (s *Service) handleJoin(c echo.Context) error {
	id, err := httpapi.ChannelID(c)
	if err != nil {
		return err
	}
	if err := s.join(c.Request().Context(), id, httpapi.UserOf(c)); err != nil {
		return err
	}
	return s.answer(c, id)
}

func (s *Service) handleLeave(c echo.Context) error {
	id, err := httpapi.ChannelID(c)
	if err != nil {
		return err
	}
	if err := s.leave(c.Request().Context(), id, httpapi.UserOf(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
