"""The domain of the Impact Service (ledger, calendar, summaries) and its DynamoDB adapter."""
