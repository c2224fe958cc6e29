package serve

import (
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// profiles returns the HTTP server of the profiler. It accepts only local host names.
func profiles() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	// Without cmdline: the URL of the store in it can contain a password.
	return &http.Server{Handler: localHosts(mux), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

// localHosts refuses requests whose Host is not a name of this machine. Otherwise a page in a browser
// on this machine could resolve its own host name to 127.0.0.1 and read the responses (DNS rebinding).
func localHosts(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocal(r.Host) {
			http.Error(w, "serve: without --keys the host must be localhost or a loopback address", http.StatusMisdirectedRequest)
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// isLocal reports whether a Host header names this machine.
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
