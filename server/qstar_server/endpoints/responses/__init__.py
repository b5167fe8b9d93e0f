"""`/v1/responses`: OpenAI's responses endpoint, stateless."""
