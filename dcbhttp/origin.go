package dcbhttp

import (
	"net/http"
	"slices"
	"strings"
)

// admit sets what every answer has, and decides about pages of other origins: those that Options name get the headers that let a browser hand
// them the answer; others get none, and can't append either, which a browser would otherwise let them do blindly. It reports whether it has answered:
// a browser asks first whether it may call.
func (h *Handler) admit(c *call) (answered bool, err error) {
	header := c.w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.draining() {
		header.Set("Connection", "close")
	}
	if len(h.opts.Origins) == 0 {
		return false, h.crossOrigin(c.r)
	}
	header.Add("Vary", "Origin")
	origin := c.r.Header.Get("Origin")
	if !slices.Contains(h.opts.Origins, origin) {
		return false, h.crossOrigin(c.r)
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", headHeader+", Retry-After")
	if c.r.Method != http.MethodOptions || c.r.Header.Get("Access-Control-Request-Method") == "" {
		return false, nil
	}
	c.name = "preflight"
	header.Set("Access-Control-Allow-Methods", strings.Join([]string{http.MethodGet, http.MethodPost}, ", "))
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, "+lastEventID)
	header.Set("Access-Control-Max-Age", "600")
	c.started, c.ended = true, true
	c.w.WriteHeader(http.StatusNoContent)
	return true, nil
}

func (h *Handler) crossOrigin(r *http.Request) error {
	if h.origin.Check(r) != nil {
		return &refusal{http.StatusForbidden, wrong("Origin", "is not one whose pages may call this server")}
	}
	return nil
}
