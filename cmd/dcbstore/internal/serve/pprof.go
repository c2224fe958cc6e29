package serve

import (
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles is the server of profiles. It answers only who names this machine: a page that a browser on it shows may have a name of its own
// lead here.
func profiles() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	// No cmdline: a store's URL in it may have a password.
	return &http.Server{Handler: localHosts(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

// localHosts lets through what names this machine as its host. Without that, a page of anybody's, opened in a browser on this machine, could
// make its own name lead to 127.0.0.1 and read whatever is served there (DNS rebinding).
func localHosts(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "this server, which anyone on this machine may call, wants to be called localhost; "+
				"with --keys it has any name", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

func isLocal(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if host == "localhost" {
		return true
	}
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return net.ParseIP(host).IsLoopback()
}
