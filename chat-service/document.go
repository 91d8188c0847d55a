package chatservice

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"parley.chat/internal/token"
	webclient "parley.chat/web-client"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/docpage"
	"parley.chat/chat-service/internal/httpapi"
	"parley.chat/chat-service/internal/site"
)

// showFiles registers what is not JSON of the REST surface: the keys, the document and its page, and the
// web client.
func (s *Service) showFiles(doc *openapi3.T) error {
	page, err := docpage.New(doc)
	if err != nil {
		return err
	}
	web, err := site.New(webclient.Files())
	if err != nil {
		return err
	}
	web.Register(s.api.Public)
	s.api.Public(http.MethodGet, httpapi.KeySetPath, func(c echo.Context) error {
		return show(c, "application/jwk-set+json", token.EncodeJWKS(s.keys.Public()))
	})
	s.api.Public(http.MethodGet, "/openapi.yaml", func(c echo.Context) error {
		return show(c, "application/yaml", api.Document)
	})
	s.api.Public(http.MethodGet, "/docs", func(c echo.Context) error {
		c.Response().Header().Set("Content-Security-Policy", page.Policy)
		return show(c, "text/html; charset=utf-8", page.HTML)
	})
	return nil
}

func show(c echo.Context, contentType string, content []byte) error {
	c.Response().Header().Set("Cache-Control", "public, max-age=60")
	return c.Blob(http.StatusOK, contentType, content)
}
