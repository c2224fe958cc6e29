package dcbtest

import "slices"

// Cases returns everything that is checked. A case whose name ends like another's is another case: names are unique.
func Cases() []Case {
	return slices.Concat(
		nounCases(),
		limitCases(),
		queryLimitCases(),
		matchingCases(),
		randomCases(),
		readingCases(),
		appendingCases(),
		conditionCases(),
		retryCases(),
		ownershipCases(),
		waitingCases(),
		followingCases(),
		endingCases(),
		concurrencyCases(),
		sharingCases(),
		reopeningCases(),
		historyCases(),
	)
}
