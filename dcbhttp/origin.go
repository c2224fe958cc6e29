package dcbhttp

import (
	"net/http"
	"slices"
	"strings"
)

// checkOrigin sets the headers that every response has, and checks the origin of calls from web
// pages. Pages of the origins in Options.Origins get the headers that let a browser pass the
// response to them. Pages of other origins do not, and their calls that could append are refused,
// because a browser would send those blindly. It reports whether it has answered: a browser's
// preflight request ends here.
func (h *Handler) checkOrigin(c *call) (answered bool, err error) {
	header := c.w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if h.draining() {
		header.Set("Connection", "close")
	}
	if len(h.opts.Origins) == 0 {
		return false, h.checkCrossOrigin(c.r)
	}
	header.Add("Vary", "Origin")
	origin := c.r.Header.Get("Origin")
	if !slices.Contains(h.opts.Origins, origin) {
		return false, h.checkCrossOrigin(c.r)
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
	c.started, c.complete = true, true
	c.w.WriteHeader(http.StatusNoContent)
	return true, nil
}

func (h *Handler) checkCrossOrigin(r *http.Request) error {
	if h.origin.Check(r) != nil {
		return &statusError{http.StatusForbidden, invalid("Origin", "is not one of the origins that can call this server")}
	}
	return nil
}
