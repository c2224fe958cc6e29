package dcbtest

import "slices"

// Cases returns everything that is checked. No two cases have the same name.
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
