package chatservice

import (
	"net/http"
	"sync"

	"github.com/labstack/echo/v4"

	"parley.chat/docs"
	"parley.chat/internal/platform/token"
	"parley.chat/shared-contracts/apierr"
	webclient "parley.chat/web-client"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/avatar"
	"parley.chat/chat-service/internal/docsite"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/site"
)

// serveFiles registers the endpoints whose responses are not generated from the API document: the
// public keys, the document itself, the documentation, avatars and the web client.
func (s *Service) serveFiles() error {
	pages, err := documentation()
	if err != nil {
		return err
	}
	web, err := site.New(webclient.Files())
	if err != nil {
		return err
	}
	web.Register(s.api.Public)
	pages.Register(s.api.Public)
	s.api.Unknown(web.ServeUnknown)
	s.api.Public(http.MethodGet, httpapi.KeySetPath, func(c echo.Context) error {
		return sendFile(c, "application/jwk-set+json", token.EncodeJWKS(s.keys.Public()))
	})
	s.api.Public(http.MethodGet, "/openapi.yaml", func(c echo.Context) error {
		return sendFile(c, "application/yaml", api.Document)
	})
	s.api.Public(http.MethodGet, avatar.Path+":hash", s.serveAvatar)
	return nil
}

// specification returns the parsed API document. It is parsed only once per process, because it
// never changes.
var specification = sync.OnceValues(api.Load)

// documentation returns the documentation pages. They are rendered only once per process, because
// they never change and tests start many services.
var documentation = sync.OnceValues(func() (*docsite.Site, error) {
	doc, err := specification()
	if err != nil {
		return nil, err
	}
	return docsite.New(doc, docs.Files)
})

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
