// The address of a validator is the one request that Swagger UI makes to another host.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#page", deepLinking: true, validatorUrl: null });
