// The comparison with other stores has a module of its own, because it imports the module that it
// measures, and the pinned tools must not share its dependencies.
module github.com/dcbstore/dcb/tools/compare

go 1.26.0

require (
	github.com/dcbstore/dcb v0.0.0
	github.com/jackc/pgx/v5 v5.12.0
)

require (
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/dcbstore/dcb => ../..
