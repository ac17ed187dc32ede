/** The two pages, which hold nothing but what loads the rest. */

const mark =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' " +
  "fill='%231d5fd1'/%3E%3Cpath d='M4.5 8a3.5 3.5 0 1 0 1.2-2.6M5.4 3v2.7h2.7' fill='none' stroke='white' stroke-width='1.5'/%3E%3C/svg%3E";

export const dashboardPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>reimage</title>
<link rel="icon" href="${mark}">
<link rel="stylesheet" href="dashboard.css">
<script type="module" src="dashboard.js"></script>
</head>
<body>
<div id="dashboard"></div>
<noscript>This page needs JavaScript. Without it, <code>reimage fleet list</code> shows the same.</noscript>
</body>
</html>
`;

export const apiPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>reimage: API</title>
<link rel="icon" href="${mark}">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script defer src="docs/swagger-ui-bundle.js"></script>
<script defer src="docs/api-page.js"></script>
</head>
<body>
<div id="api"></div>
<noscript>This page needs JavaScript. The description itself is <a href="openapi.json">openapi.json</a>.</noscript>
</body>
</html>
`;
