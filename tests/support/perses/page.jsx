// A dashboard by Perses' own packages, as https://perses.dev/perses/docs/embedding shows it: `window.shown` has the Dashboard and
// the address of a Prometheus. Nothing else is asked; no Perses server is there.
import { CssBaseline, ThemeProvider, Typography } from '@mui/material';
import { ChartsProvider, SnackbarProvider, generateChartsTheme, getTheme } from '@perses-dev/components';
import { ViewDashboard } from '@perses-dev/dashboards';
import { PluginRegistry, ReactRouterProvider, dynamicImportPluginLoader } from '@perses-dev/plugin-system';
import * as prometheus from '@perses-dev/prometheus-plugin';
import * as stat from '@perses-dev/stat-chart-plugin';
import * as table from '@perses-dev/table-plugin';
import * as lines from '@perses-dev/timeseries-chart-plugin';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { RouterProvider, createMemoryRouter } from 'react-router-dom';
import { QueryParamProvider } from 'use-query-params';
import { ReactRouter6Adapter } from 'use-query-params/adapters/react-router-6';

const { dashboard, prometheusUrl } = window.shown;

const source = {
  kind: 'GlobalDatasource',
  metadata: { name: 'prometheus' },
  spec: { default: true, plugin: { kind: 'PrometheusDatasource', spec: { directUrl: prometheusUrl } } },
};
const datasources = {
  getDatasource: async () => undefined,
  getGlobalDatasource: async () => source,
  listDatasources: async () => [],
  listGlobalDatasources: async () => [source],
};
const plugins = dynamicImportPluginLoader(
  [prometheus, stat, table, lines].map((module) => ({
    resource: module.getPluginModule(),
    importPlugin: async () => module,
  })),
);
const theme = getTheme('light');
const queries = new QueryClient({ defaultOptions: { queries: { refetchOnWindowFocus: false } } });

function Page() {
  return (
    <QueryParamProvider adapter={ReactRouter6Adapter}>
      <ReactRouterProvider>
        <PluginRegistry
          pluginLoader={plugins}
          defaultPluginKinds={{ Panel: 'TimeSeriesChart', TimeSeriesQuery: 'PrometheusTimeSeriesQuery' }}
        >
          <ViewDashboard
            dashboardResource={dashboard}
            datasourceApi={datasources}
            dashboardTitleComponent={<Typography variant="h2">{dashboard.spec.display.name}</Typography>}
            isReadonly
            isVariableEnabled
            isDatasourceEnabled={false}
          />
        </PluginRegistry>
      </ReactRouterProvider>
    </QueryParamProvider>
  );
}

const router = createMemoryRouter([{ path: '*', element: <Page /> }]);
createRoot(document.getElementById('root')).render(
  <ThemeProvider theme={theme}>
    <CssBaseline />
    <ChartsProvider chartsTheme={generateChartsTheme(theme, {})}>
      <SnackbarProvider>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </SnackbarProvider>
    </ChartsProvider>
  </ThemeProvider>,
);
