package chatservice

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	webclient "parley.chat/web-client"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/docpage"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/site"
)

// serveFiles registers the endpoints whose responses are not generated from the API document: the
// public keys, the document itself and its page, avatars and the web client.
func (s *Service) serveFiles(doc *openapi3.T) error {
	page, err := docpage.New(doc)
	if err != nil {
		return err
	}
	web, err := site.New(webclient.Files())
	if err != nil {
		return err
	}
	web.Register(s.api.Public)
	s.api.Unknown(web.ServeUnknown)
	s.api.Public(http.MethodGet, httpapi.KeySetPath, func(c echo.Context) error {
		return sendFile(c, "application/jwk-set+json", token.EncodeJWKS(s.keys.Public()))
	})
	s.api.Public(http.MethodGet, "/openapi.yaml", func(c echo.Context) error {
		return sendFile(c, "application/yaml", api.Document)
	})
	s.api.Public(http.MethodGet, avatar.Path+":hash", s.serveAvatar)
	s.api.Public(http.MethodGet, "/docs", func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", page.Policy)
		return sendFile(c, "text/html; charset=utf-8", page.HTML)
	})
	return nil
}

// serveAvatar serves a user's picture. The path contains the hash of the content, so the response
// can be cached forever. The Content-Security-Policy prevents a browser that opens the path from
// treating the response as anything other than a picture.
func (s *Service) serveAvatar(c echo.Context) error {
	picture, found, err := avatar.Find(c.Request().Context(), s.db, c.Param("hash"))
	if err != nil {
		return err
	}
	if !found {
		return apierr.New(apierr.NotFound, "This picture does not exist.")
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	return c.Blob(http.StatusOK, picture.Type, picture.Data)
}

func sendFile(c echo.Context, contentType string, content []byte) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=60")
	return c.Blob(http.StatusOK, contentType, content)
}
